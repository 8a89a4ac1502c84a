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
    "runtimeHash": "0x5c18e305c9749ae636acbe0d20e200bd0004e4813eacd69e557ba736f53a57af",
    "runtimeBytes": 24098,
    "immutableBytes": 128,
    "creationHash": "0xeb728ae8a29a98fa99dfca8887cbd61422d3c135a3fe24f416f77f01d2e01024",
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
    "runtimeHash": "0xeffca31dee30ae7fe9beaf24755241794bf451b51cfbebd4f35d515688ec7413",
    "runtimeBytes": 24489,
    "immutableBytes": 0,
    "creationHash": "0x372ca55f02e19c5e9a968e330a75669116e83f2d5d235e88606ea4d93f6aaad7",
    "creationBytes": 24506
  }
};

export const FAMILIES = ["Trading", "Custody", "Markets", "Rescue"];

export const LAW_VERSION = 4;
