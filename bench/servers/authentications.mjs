/** The ways an application may ask who calls, each as its documentation shows it, with the same demands on a token. */
import { createHash, createPublicKey } from 'node:crypto';
import { Inject, UnauthorizedException } from '@nestjs/common';
import { JwtModule, JwtService } from '@nestjs/jwt';
import { AuthGuard, PassportModule, PassportStrategy } from '@nestjs/passport';
import { Redis } from 'ioredis';
import { importSPKI, jwtVerify } from 'jose';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { ExtractJwt, Strategy } from 'passport-jwt';
import { CENSUS, HERALD, KEY_ID } from '../tokens.mjs';

/** @typedef {import('@nestjs/common').ModuleMetadata} ModuleMetadata */
/** @typedef {import('@nestjs/common').ExecutionContext} ExecutionContext */
/** @typedef {{ headers: { authorization?: string }, rawBody?: Buffer, user?: unknown }} Request */
/** @typedef {{ algorithm: import('../tokens.mjs').BenchAlgorithm, publicKey: string, redisPort?: number }} Config */

/**
 * What an application adds to its module, what guards its route, and whether it asks Nest for the bytes of bodies.
 *
 * @typedef {Pick<ModuleMetadata, 'imports' | 'providers'> & {
 *   guard?: import('@nestjs/common').Type<import('@nestjs/common').CanActivate>, rawBody?: boolean,
 * }} Authentication
 */

/** @typedef {(config: Config) => Authentication | Promise<Authentication>} Way */
/** @typedef {keyof typeof AUTHENTICATIONS} AuthenticationName */

export const AUTHENTICATIONS = /** @satisfies {Record<string, Way>} */ ({
  none: () => ({}),
  'module without guard': (config) => ({ imports: [serviceAuth(config)] }),
  'service-auth': (config) => guarded(serviceAuth(config)),
  'service-auth, Redis': (config) => {
    const client = new Redis({ host: '127.0.0.1', port: Number(config.redisPort) });
    return guarded(serviceAuth(config, { replayStore: new RedisReplayStore({ client }) }));
  },
  'service-auth, forgetful': (config) =>
    guarded(serviceAuth(config, { replayStore: { recordUse: () => 'first' } })),
  'passport-jwt, PEM': (config) => passportJwt(config, config.publicKey),
  'passport-jwt, KeyObject': (config) => passportJwt(config, createPublicKey(config.publicKey)),
  '@nestjs/jwt': nestJwt,
  jose: joseWithBodyHash,
});

/** @param {Config} config @param {Partial<import('nestjs-service-auth').ServiceAuthModuleOptions>} options */
function serviceAuth({ algorithm, publicKey }, options = {}) {
  const keys = [{ publicKey, keyId: KEY_ID, algorithms: [algorithm] }];
  return ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, keys }],
    ...options,
  });
}

/** @param {import('@nestjs/common').DynamicModule} module */
const guarded = (module) => ({ imports: [module], guard: ServiceJwtGuard });

/**
 * It has no say on bodies: they are not verified.
 *
 * @param {Config} config
 * @param {string | import('node:crypto').KeyObject} secretOrKey
 */
function passportJwt({ algorithm }, secretOrKey) {
  class JwtStrategy extends PassportStrategy(Strategy) {
    constructor() {
      super({
        jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
        // Its types know text only; jsonwebtoken, which it hands the key to, takes a KeyObject as well.
        secretOrKey: /** @type {string} */ (secretOrKey),
        ignoreExpiration: false,
        issuer: HERALD,
        audience: CENSUS,
        algorithms: [/** @type {import('jsonwebtoken').Algorithm} */ (algorithm)],
      });
    }

    /** @param {{ iss: string, sub: string }} claims */
    validate({ iss, sub }) {
      return { caller: iss, user: sub };
    }
  }
  return { imports: [PassportModule], providers: [JwtStrategy], guard: AuthGuard('jwt') };
}

/** @param {Request} request @throws UnauthorizedException */
function bearerTokenOf({ headers: { authorization } }) {
  const [scheme, token] = authorization?.split(' ') ?? [];
  if (scheme !== 'Bearer' || token === undefined) throw new UnauthorizedException();
  return token;
}

/** It has no say on bodies either. @param {Config} config */
function nestJwt({ algorithm, publicKey }) {
  class JwtGuard {
    /** @param {JwtService} jwtService */
    constructor(jwtService) {
      this.jwtService = jwtService;
    }

    /** @param {ExecutionContext} context */
    async canActivate(context) {
      const request = /** @type {Request} */ (context.switchToHttp().getRequest());
      const token = bearerTokenOf(request);
      try {
        request.user = await this.jwtService.verifyAsync(token);
      } catch {
        throw new UnauthorizedException();
      }
      return true;
    }
  }
  Inject(JwtService)(JwtGuard, undefined, 0);
  const verifyOptions = {
    issuer: HERALD,
    audience: CENSUS,
    algorithms: [/** @type {import('jsonwebtoken').Algorithm} */ (algorithm)],
  };
  return { imports: [JwtModule.register({ publicKey, verifyOptions })], guard: JwtGuard };
}

/** What one writes who wants the body verified too. @param {Config} config */
async function joseWithBodyHash({ algorithm, publicKey }) {
  const key = await importSPKI(publicKey, algorithm);
  const demands = { issuer: HERALD, audience: CENSUS, algorithms: [algorithm] };

  /** @param {string} token @returns {Promise<Record<string, unknown>>} */
  async function claimsOf(token) {
    try {
      return /** @type {{ payload: Record<string, unknown> }} */ (
        await jwtVerify(token, key, demands)
      ).payload;
    } catch {
      throw new UnauthorizedException();
    }
  }

  class JoseGuard {
    /** @param {ExecutionContext} context */
    async canActivate(context) {
      const request = /** @type {Request} */ (context.switchToHttp().getRequest());
      const claims = await claimsOf(bearerTokenOf(request));
      if (claims['bdy'] !== digestOf(request.rawBody)) throw new UnauthorizedException();
      request.user = claims;
      return true;
    }
  }
  return { guard: JoseGuard, rawBody: true };
}

/** @param {Buffer | undefined} body */
const digestOf = (body) => body && createHash('sha256').update(body).digest('hex');
