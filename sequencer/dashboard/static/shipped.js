// Hashes of the contracts that this version ships, of their artifacts: python -m sequencer.dashboard.shipped
// Of each the runtime code without the immutables behind it, and of the bridge the creation code, too.
export const SHIPPED = {
  "RollupBridge": {
    "runtimeHash": "0x4fe5ad104e7d64f53ee4af7fc5f07ab9c2f4a746071bba0844fcfae8250122fd",
    "runtimeBytes": 23501,
    "immutableBytes": 544,
    "creationHash": "0xc9307f952bcb83d96fba45b98b95ebb300a782348115b604b26ac59fa4f25e6a",
    "creationBytes": 27301
  },
  "FraudReferee": {
    "runtimeHash": "0x58a5b13d4b6d27bbeafe0f3c66514621bbcc2ac15403e8b4a5d6d3ffa44c82b5",
    "runtimeBytes": 22978,
    "immutableBytes": 128,
    "creationHash": "0xe1b817198766bde03a650fe2e781f0f95817783fb446f05f1a9a3eaef99ef823",
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
    "runtimeHash": "0x47ee793dba2ef3eebc06a74f9a6973d75493debcf3a331d88a020c376870c801",
    "runtimeBytes": 17327,
    "immutableBytes": 0,
    "creationHash": "0xb72b7701a46ff6ba77be5df89792ccf1d69466763bdfcfc81dd8c9f27ccaae31",
    "creationBytes": 17344
  },
  "Rescue": {
    "runtimeHash": "0xef3564509bb2d562bb23e542ea3939814a4ac8d6452043a896aa1637c0845ab9",
    "runtimeBytes": 24498,
    "immutableBytes": 0,
    "creationHash": "0xb80a37b13a4541b38dfcb12e7836f1d8cd22d6d7796751677a5828c2395aa0fd",
    "creationBytes": 24515
  }
};

export const FAMILIES = ["Trading", "Custody", "Markets", "Rescue"];

export const LAW_VERSION = 4;
