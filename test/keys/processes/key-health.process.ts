// Fetches the keys of one issuer, and tells how they stand. Arguments: the issuer, the URL of its keys.
import { createServiceAuth } from 'nestjs-service-auth/core';

const [issuer = '', jwksUri = ''] = process.argv.slice(2);
const service = await createServiceAuth({
  issuer: 'https://census.service/',
  trustedIssuers: [{ issuer, jwksUri }],
});
for (const { keys } of service.receiving.trustedIssuers.known()) await keys.settled();
process.send?.(service.keyHealth().get(issuer));
service.close();
process.disconnect?.();
