import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { TrustedIssuerOptions } from 'nestjs-service-auth';
import type { CompiledProject } from './compiled-project.js';
import type { Adapter } from '../services/service.js';

/** The program that {@link ReceiverProcess} runs; compile it into the project. */
export const RECEIVER_PROGRAM = 'test/nest/processes/receiver.process.ts';

/** What the process can be asked to do. */
export type ReceiverTask =
  /** Moves its wall clock. */
  | { readonly do: 'step'; readonly seconds: number }
  /** Answers, and then blocks its event loop. */
  | { readonly do: 'stall'; readonly seconds: number }
  /** Signs twice, with a blocked event loop in between; answers both tokens. */
  | { readonly do: 'stall-and-sign'; readonly seconds: number }
  /** Makes its replay store fail, or work again. */
  | { readonly do: 'break-store'; readonly isBroken: boolean }
  | { readonly do: 'keep-threads-busy'; readonly jobs: number }
  | { readonly do: 'sign' }
  | { readonly do: 'tell' };

/** How the process stands, memory after a collection of garbage. */
export interface ReceiverState {
  readonly heapUsed: number;
  readonly rememberedUses: number;
  readonly knownKeyIds: readonly string[];
  readonly connections: number;
  /** Jobs that the threads of libuv have not done yet. */
  readonly busyJobs: number;
  /** Rejections and exceptions that nobody caught. */
  readonly unhandled: readonly string[];
  readonly nowSeconds: number;
}

/** A guarded application in a real process of its own, with the routes `GET /thing/:id` and `POST /thing`. */
export class ReceiverProcess {
  private readonly replies = new Map<number, (result: unknown) => void>();
  private lastId = 0;

  static async start(
    project: CompiledProject,
    adapter: Adapter,
    trustedIssuers: readonly TrustedIssuerOptions[],
  ): Promise<ReceiverProcess> {
    const program = project.path(RECEIVER_PROGRAM);
    const child = fork(program, [adapter, JSON.stringify(trustedIssuers)], {
      execArgv: ['--expose-gc'],
    });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new ReceiverProcess(child, port);
  }

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {
    child.on('message', ({ id, result }: { id: number; result: unknown }) => {
      this.replies.get(id)?.(result);
      this.replies.delete(id);
    });
  }

  /** Blocks its event loop for so long; resolves when it is about to. */
  async stall(seconds: number): Promise<void> {
    await this.send({ do: 'stall', seconds });
  }

  async perform(task: ReceiverTask): Promise<unknown> {
    return await this.send(task);
  }

  async tell(): Promise<ReceiverState> {
    return (await this.send({ do: 'tell' })) as ReceiverState;
  }

  /** Stops the whole process, as a suspended machine does, until `resume`. */
  suspend(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  async close(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.disconnect();
    await exit;
  }

  private async send(task: ReceiverTask): Promise<unknown> {
    const id = ++this.lastId;
    return await new Promise((resolve) => {
      this.replies.set(id, resolve);
      this.child.send({ id, task });
    });
  }
}
