import type { ServiceAuthModuleOptions } from 'nestjs-service-auth';
import { MAIL } from './job-services.js';

/** What the processes of `scripts/test-job-chaos.mjs` have in common. */
export interface ChaosPlace {
  /** Where the effects of jobs go. */
  readonly censusUrl: string;
  readonly privateKey: string;
  readonly publicKey: string;
}

const USERS = 'https://census.service/user/';

/** For how long a grant lasts: jobs may wait while workers are killed. */
export const GRANT_SECONDS = 3600;

/** The service `mail`, which queues jobs for users with a grant, does them, and calls another service for these users. */
export function chaosOptions({ censusUrl, privateKey, publicKey }: ChaosPlace) {
  return {
    signingKey: { privateKey },
    targets: [{ baseUrl: `${censusUrl}/`, audience: 'https://census.service/' }],
    trustDomain: 'https://prod.example.org/',
    originate: { subjects: [USERS], lifetimeSeconds: GRANT_SECONDS },
    originators: [{ issuer: MAIL, publicKey, subjects: [USERS] }],
    trustedIssuers: [
      {
        issuer: MAIL,
        publicKey,
        transports: ['jobs'],
        subjectProof: {
          mode: 'required',
          withoutSubject: 'allowed',
          maxAgeSeconds: GRANT_SECONDS,
        },
      },
    ],
    subjectPropagation: 'ambient',
  } as const satisfies Partial<ServiceAuthModuleOptions>;
}

/** @param id of a user */
export function userOf(id: number): string {
  return `${USERS}${id}/`;
}
