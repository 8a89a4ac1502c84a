// Hashes of the contracts that this version ships, of their artifacts: python -m sequencer.dashboard.shipped
// Of each the runtime code without the immutables behind it, and of the bridge the creation code, too.
export const SHIPPED = {
  "RollupBridge": {
    "runtimeHash": "0x0c963a9f3ef763c3f17e5e6a977456a9e9a1f82ee0cff5b74bc4d83ce6862e76",
    "runtimeBytes": 23214,
    "immutableBytes": 544,
    "creationHash": "0xdccc31ab9c1dc961d95c9b44bef6f935f41efee3edc18f7a75c8723c50277345",
    "creationBytes": 26881
  },
  "FraudReferee": {
    "runtimeHash": "0x5205d8b1e1afa50b921b8f2c8bf9660ad2a609e9cdfa07dfc464ac8c3c3f6636",
    "runtimeBytes": 22864,
    "immutableBytes": 128,
    "creationHash": "0xba165d1350ce7caaa8d727136325d691789512b9b2e7643018c2f82ba707b0c3",
    "creationBytes": 23022
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
    "runtimeHash": "0x2a2e232efbe2f19bd6130fc10468f41b5e33678d92ac577f072cda4b9ab3ea9d",
    "runtimeBytes": 17025,
    "immutableBytes": 0,
    "creationHash": "0x84ccaadc0392ee6665074999773ada02193e80284402d0774ab3109945e09b02",
    "creationBytes": 17042
  },
  "Rescue": {
    "runtimeHash": "0x33b4c32c24f3a213cc86160604f523fe30f1d3722f07340e3701d116c0c44125",
    "runtimeBytes": 23976,
    "immutableBytes": 0,
    "creationHash": "0xcf1c5e5815dd55af618c16a4c99f88e537fbdea8488ffd76ed0d442acf7cd585",
    "creationBytes": 23993
  }
};

export const FAMILIES = ["Trading", "Custody", "Markets", "Rescue"];

export const LAW_VERSION = 4;
