// Hashes of the contracts that this version ships, of their artifacts: python -m sequencer.dashboard.shipped
// Of each the runtime code without the immutables behind it, and of the bridge the creation code, too.
export const SHIPPED = {
  "RollupBridge": {
    "runtimeHash": "0x1ae4f7fb8f9f8096bce052eba258b9dc416f9b5f2cf81ec1caa30b5401acdb59",
    "runtimeBytes": 23501,
    "immutableBytes": 544,
    "creationHash": "0x0adefcc55613f91e28d773072f52db130c496b79617503fd4501862269794c13",
    "creationBytes": 27301
  },
  "FraudReferee": {
    "runtimeHash": "0x555e3b472e49559a2f04d78ebe177ab939c74747d35475ff059fab5b8cf98cac",
    "runtimeBytes": 22978,
    "immutableBytes": 128,
    "creationHash": "0x22935c841842966acbfea6ffb065da38e86211c1343b7726a10bb6d46816aecf",
    "creationBytes": 23136
  },
  "Trading": {
    "runtimeHash": "0x388b6c806a47deca5fd4e1ee87458d4b6c7799c7899bd73a928c1555584ace18",
    "runtimeBytes": 20769,
    "immutableBytes": 0,
    "creationHash": "0x5a991c0a9f91ab473edf4870c971ea19d012ebe0d02dd032e56a4375a6f2edc6",
    "creationBytes": 20786
  },
  "Custody": {
    "runtimeHash": "0x855ad0e3b5476b150a29536870e2c5e7faaaa996f22b33f46adae8e4960cc150",
    "runtimeBytes": 15279,
    "immutableBytes": 0,
    "creationHash": "0xfd46d4e320ef983eaf4c94987d53b693765632151fd64b1e891ac0126b2b4437",
    "creationBytes": 15296
  },
  "Markets": {
    "runtimeHash": "0xe059d82d4976f60556ece5c0c284a379bb4b55c3110e2b8d3fd9319d9a4d61cf",
    "runtimeBytes": 17125,
    "immutableBytes": 0,
    "creationHash": "0x26870816d726831c2f5b3a3720bcae0c1a4957a967a409d638c71e53c5b800e3",
    "creationBytes": 17142
  },
  "Rescue": {
    "runtimeHash": "0x7472b1eb7ca22fa8b495381d87474e7de105304fe5061198a29e10942517d9ce",
    "runtimeBytes": 24266,
    "immutableBytes": 0,
    "creationHash": "0x1186144bf0149429fc6bcd21cdbd87a8a6d41846a0d2a93149ab96a36e1e80d8",
    "creationBytes": 24283
  }
};

export const FAMILIES = ["Trading", "Custody", "Markets", "Rescue"];

export const LAW_VERSION = 4;
