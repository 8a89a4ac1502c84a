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
    "runtimeHash": "0x6973433025557f05d2ba82fbc5338e069a6989e76bdeb84201ccee42a39658ba",
    "runtimeBytes": 24098,
    "immutableBytes": 128,
    "creationHash": "0xb016b37a301412f10471c0be46e8d92b897aa2e354f627da293f25e57e75d72c",
    "creationBytes": 24256
  },
  "Trading": {
    "runtimeHash": "0xe4d6645dfa79dbc5b064dc6282bfdfb935b5cb09e8285fb99e0f91ac9f180b2d",
    "runtimeBytes": 19617,
    "immutableBytes": 0,
    "creationHash": "0x19725a739d66514e48f1a2ab473877ae06dc9f6c0f91cc2b1c5f32fc69eebf38",
    "creationBytes": 19634
  },
  "Custody": {
    "runtimeHash": "0x855ad0e3b5476b150a29536870e2c5e7faaaa996f22b33f46adae8e4960cc150",
    "runtimeBytes": 15279,
    "immutableBytes": 0,
    "creationHash": "0xfd46d4e320ef983eaf4c94987d53b693765632151fd64b1e891ac0126b2b4437",
    "creationBytes": 15296
  },
  "Markets": {
    "runtimeHash": "0xd8a1ffcd05d3d281f03c3ffe801c48cc172b67f30820bc987a4011fd9c2fdc41",
    "runtimeBytes": 9423,
    "immutableBytes": 0,
    "creationHash": "0x81872ff7d28e66b0635a7395fd0f35689c6da1f87a7262c29d96528cb16f00e0",
    "creationBytes": 9440
  },
  "Rescue": {
    "runtimeHash": "0xe5e8fda78a6617869c3cff1aad8044a959dd4894718356962ae21f6771ac1f2d",
    "runtimeBytes": 23148,
    "immutableBytes": 0,
    "creationHash": "0xabae597f53b6e51fe7e3920bf53e644f76421ae60f976e8b74385b14c7ea7011",
    "creationBytes": 23165
  }
};

export const FAMILIES = ["Trading", "Custody", "Markets", "Rescue"];

export const LAW_VERSION = 4;
