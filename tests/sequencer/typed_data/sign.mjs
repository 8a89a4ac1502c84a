// Typed data on stdin -> what viem and ethers make of it on stdout: digest, signature, who the signature recovers to.
// A request a line, an answer a line, until stdin ends.
import { createInterface } from "node:readline";
import { TypedDataEncoder, Wallet, verifyTypedData } from "ethers";
import { hashTypedData, recoverTypedDataAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";

for await (const line of createInterface({ input: process.stdin })) {
  const { privateKey, cases } = JSON.parse(line);
  const account = privateKeyToAccount(privateKey);
  const signer = new Wallet(privateKey);
  const results = [];
  for (const typedData of cases) {
    const byViem = await account.signTypedData(typedData);
    // ethers derives the domain's type from its values and refuses to be told.
    const { EIP712Domain, ...types } = typedData.types;
    const byEthers = await signer.signTypedData(typedData.domain, types, typedData.message);
    results.push({
      viem: {
        digest: hashTypedData(typedData),
        signature: byViem,
        signer: await recoverTypedDataAddress({ ...typedData, signature: byViem }),
      },
      ethers: {
        digest: TypedDataEncoder.hash(typedData.domain, types, typedData.message),
        signature: byEthers,
        signer: verifyTypedData(typedData.domain, types, typedData.message, byEthers),
      },
    });
  }
  process.stdout.write(JSON.stringify(results) + "\n");
}
