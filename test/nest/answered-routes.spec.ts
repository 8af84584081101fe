import { Readable } from 'node:stream';
import {
  Controller,
  Get,
  HttpCode,
  type MessageEvent,
  type NestApplicationOptions,
  Post,
  Req,
  Res,
  Sse,
  StreamableFile,
  UseGuards,
} from '@nestjs/common';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { of, type Observable } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { type BodyRequest, bodyToken, sendBody } from '../support/tokens/signed-body.js';
import { call } from '../support/http/http.js';

/** Routes that answer otherwise than by returning a value, and applications without `rawBody: true`. */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const stranger = new Caller('https://stranger.service/', CENSUS);
const auth = () => ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] });

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe('a route with an answer of its own kind is guarded (TF-05)', () => {
    let ran: string[];
    let service: TestService;

    @Controller()
    @UseGuards(ServiceJwtGuard)
    class AnsweringController {
      @Sse('events')
      events(): Observable<MessageEvent> {
        ran.push('/events');
        return of({ data: 'secret' });
      }

      @Get('file')
      file(): StreamableFile {
        ran.push('/file');
        return new StreamableFile(Readable.from([Buffer.from('secret')]));
      }

      @Get('response')
      response(@Res() response: { send(body: string): unknown }): void {
        ran.push('/response');
        response.send('secret');
      }
    }

    beforeAll(async () => {
      service = await startService({
        adapter,
        imports: [auth()],
        controllers: [AnsweringController],
      });
    });
    beforeEach(() => void (ran = []));
    afterAll(() => service.close());

    it.each(['/events', '/file', '/response'])('%s', async (target) => {
      const refused = [
        { headers: {}, code: 'token_missing' },
        { headers: stranger.headers({ target }), code: 'issuer_unknown' },
        { headers: herald.headers({ target: '/elsewhere' }), code: 'request_mismatch' },
      ];
      for (const { headers, code } of refused) {
        const answer = await call(service.port, { target, headers });
        expect({ status: answer.status, code: answer.code }).toEqual({ status: 401, code });
        expect(answer.text).not.toContain('secret');
      }
      expect(ran).toEqual([]);
      const good = await herald.get(service.port, target);
      expect(good.status).toBe(200);
      expect(good.text).toContain('secret');
      expect(ran).toEqual([target]);
    });
  });

  describe('an application that forgot `rawBody: true` verifies bodies all the same (BB-25)', () => {
    const applications: readonly (readonly [string, NestApplicationOptions])[] = [
      ['without options', {}],
      ['with rawBody: false', { rawBody: false }],
      [
        'with bodyParser: false, where rawBody: true does nothing',
        { bodyParser: false, rawBody: true },
      ],
    ];
    const json: BodyRequest = {
      method: 'POST',
      contentType: 'application/json',
      body: Buffer.from('{"name":"Ada"}'),
    };

    describe.each(applications)('%s', (_title, nest) => {
      let service: TestService;
      let ran = 0;

      @Controller('posted')
      @UseGuards(ServiceJwtGuard)
      class PostedController {
        @Post()
        @HttpCode(200)
        post(@Req() _request: object): object {
          ran++;
          return {};
        }
      }

      beforeAll(async () => {
        service = await startService({
          adapter,
          nest,
          imports: [auth()],
          controllers: [PostedController],
        });
      });
      afterAll(() => service.close());

      it.each([
        ['another body', { body: Buffer.from('{"name":"Eve"}') }, 'body_mismatch'],
        ['an emptier body', { body: Buffer.from('{}') }, 'body_mismatch'],
      ])('refuses %s, and takes the one that was signed', async (_change, change, code) => {
        ran = 0;
        const token = bodyToken(herald, '/posted', json);
        const sent = { ...json, ...change };
        expect(await sendBody(service.port, '/posted', sent, token)).toMatchObject({
          status: 401,
          code,
        });
        const unbound = bodyToken(herald, '/posted', json, { bdy: undefined });
        expect(await sendBody(service.port, '/posted', json, unbound)).toMatchObject({
          status: 401,
          code: 'claim_missing',
        });
        expect(ran).toBe(0);
        expect(await sendBody(service.port, '/posted', json, token)).toMatchObject({ status: 200 });
        expect(ran).toBe(1);
      });
    });
  });
});
