import { createServiceAuth, type ServiceAuth } from 'nestjs-service-auth/core';
import { readPrivateKey } from '../setup/key-files.js';
import { CENSUS_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import { type Answer, send } from './http-client.js';
import { grantFor } from './signed-request.js';

/** What a thief can get hold of: Herald's private key, and what came by Herald. */
export interface Loot {
  readonly privateKey: string;
  /** Where Census listens, with a final slash. */
  readonly censusUrl: string;
  /** A live grant, of a user whom nobody asks for. */
  readonly otherGrant: string;
  /** A grant of each user, an hour old: it was to live for 5 minutes. */
  readonly oldGrants: ReadonlyMap<string, string>;
  /** The same, of a day to live. */
  readonly oldLongGrants: ReadonlyMap<string, string>;
}

/** The two headers that decide. Both are left out where they are undefined. */
interface Proof {
  /** What the token says that comes along. */
  readonly named?: string | undefined;
  /** What does come along. */
  readonly sent?: string | undefined;
}

/** One way to act for a user who is not here, and the answer that it gets. */
export interface Way {
  readonly title: string;
  readonly expected: string;
  readonly prove: (thief: Thief, user: string) => Promise<Proof>;
}

const DAY_SECONDS = 86_400;
const HOUR_MILLISECONDS = 3_600_000;
const both = (grant: string | undefined): Proof => ({ named: grant, sent: grant });

export const WAYS: readonly Way[] = [
  {
    title: 'without a grant',
    expected: '403 grant_missing',
    prove: async () => await Promise.resolve({}),
  },
  {
    title: 'with the live grant of another user',
    expected: '403 grant_mismatch',
    prove: async ({ loot }) => await Promise.resolve(both(loot.otherGrant)),
  },
  {
    title: 'with a grant that is over',
    expected: '403 grant_expired',
    prove: async ({ loot }, user) => await Promise.resolve(both(loot.oldGrants.get(user))),
  },
  {
    title: 'with a grant of a day, an hour old',
    expected: '403 grant_expired',
    prove: async ({ loot }, user) => await Promise.resolve(both(loot.oldLongGrants.get(user))),
  },
  {
    title: 'with a grant that Herald makes',
    expected: '403 originator_unknown',
    prove: async ({ herald }, user) => both(await herald.issueGrant(user)),
  },
  {
    title: 'with a grant that Herald makes in the name of Edge',
    expected: '403 grant_invalid',
    prove: async ({ edge }, user) => both(await edge.issueGrant(user)),
  },
  {
    title: 'and under the id of its key',
    expected: '403 grant_invalid',
    prove: async ({ edgeByKeyId }, user) => both(await edgeByKeyId.issueGrant(user)),
  },
  {
    title: 'with a service token in the place of the grant',
    expected: '403 grant_invalid',
    prove: async ({ herald, loot }, user) => both(await herald.sign(ask(loot.censusUrl, user))),
  },
  {
    title: 'with a token that names a grant, and none beside it',
    expected: '403 grant_mismatch',
    prove: async ({ loot }) => await Promise.resolve({ named: loot.otherGrant }),
  },
  {
    title: 'with a grant that the token does not name',
    expected: '403 grant_mismatch',
    prove: async ({ loot }) => await Promise.resolve({ sent: loot.otherGrant }),
  },
  {
    title: 'with another grant than the token names',
    expected: '403 grant_mismatch',
    prove: async ({ loot }, user) =>
      await Promise.resolve({ named: loot.otherGrant, sent: loot.oldGrants.get(user) }),
  },
  {
    title: 'with two grants',
    expected: '403 grant_repeated',
    prove: async ({ loot }, user) =>
      await Promise.resolve({
        named: loot.otherGrant,
        sent: `${loot.otherGrant}, ${loot.oldGrants.get(user)}`,
      }),
  },
];

/** Somebody who has copied Herald's private key and asks Census, in Herald's name, for what users may read. */
export class Thief {
  private constructor(
    readonly loot: Loot,
    /** Herald, as Census knows it: every token that it signs is good. */
    readonly herald: ServiceAuth,
    /** Herald's key, calling itself Edge. */
    readonly edge: ServiceAuth,
    /** The same, under the key id of the real Edge. */
    readonly edgeByKeyId: ServiceAuth,
  ) {}

  static async create(loot: Loot): Promise<Thief> {
    const { privateKey } = loot;
    const targets = [{ baseUrl: loot.censusUrl, audience: SERVICE_URIS.census }];
    const common = {
      targets,
      trustDomain: TRUST_DOMAIN,
      originate: { subjects: [CENSUS_USERS] },
    };
    const { herald, edge } = SERVICE_URIS;
    return new Thief(
      loot,
      await createServiceAuth({ ...common, issuer: herald, signingKey: { privateKey } }),
      await createServiceAuth({ ...common, issuer: edge, signingKey: { privateKey } }),
      await createServiceAuth({
        ...common,
        issuer: edge,
        signingKey: { privateKey, keyId: keyIdOf(loot.otherGrant) },
      }),
    );
  }

  /** Asks Census for the data of this user, for this user. */
  async ask(user: string, { named, sent }: Proof): Promise<Answer> {
    const request = ask(this.loot.censusUrl, user);
    const token = await this.herald.sign({ ...request, grant: named });
    const headers = { JWT: token ?? '', ...(sent !== undefined && { 'Txn-Token': sent }) };
    return await send({ ...request, headers, body: '' });
  }

  /** Asks with a grant of this user, as Herald itself would. */
  async askWithGrant(user: string, grant: string): Promise<Answer> {
    return await this.ask(user, both(grant));
  }

  close(): void {
    for (const service of [this.herald, this.edge, this.edgeByKeyId]) service.close();
  }
}

/** What has come by Herald until now, with the key files of the sample. @param other is here just now */
export async function collectLoot(
  keys: string,
  { censusUrl, users, other }: { censusUrl: string; users: readonly string[]; other: string },
): Promise<Loot> {
  const hourAgo = (): number => Date.now() - HOUR_MILLISECONDS;
  const old = async (lifetimeSeconds?: number): Promise<Map<string, string>> => {
    const grants = users.map(async (user) => {
      const grant = await grantFor(user, keys, { now: hourAgo, lifetimeSeconds });
      return [user, grant] as const;
    });
    return new Map(await Promise.all(grants));
  };
  return {
    censusUrl,
    privateKey: readPrivateKey(keys, 'herald'),
    otherGrant: await grantFor(other, keys),
    oldGrants: await old(),
    oldLongGrants: await old(DAY_SECONDS),
  };
}

function ask(censusUrl: string, subject: string) {
  // Without the final slash, which not every router takes.
  const path = subject.slice(SERVICE_URIS.census.length, -1);
  const body = new Uint8Array();
  return { method: 'GET', url: new URL(path, censusUrl).href, headers: {}, body, subject };
}

function keyIdOf(token: string): string {
  const [header = ''] = token.split('.', 1);
  const { kid } = Object(JSON.parse(Buffer.from(header, 'base64url').toString())) as {
    kid?: unknown;
  };
  return String(kid);
}
