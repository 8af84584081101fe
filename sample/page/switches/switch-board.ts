import { BadRequestException, ConflictException, Inject, Injectable } from '@nestjs/common';
import { isDemoUser } from '../../edge/demo-users.js';
import { type MailQueuePlace, SetupError } from '../../setup/environment.js';
import type { ServiceName } from '../../setup/services.js';
import type { Stage } from '../../story/story.js';
import { Forger } from '../forger.js';
import { isServiceName } from '../hop-recorder.js';
import { STAGE } from '../stage.token.js';
import { StoryService } from '../story.service.js';
import { Turnstile } from '../turnstile.js';
import { KeyServerSwitch } from './key-server.switch.js';
import { MailSwitch } from './mail.switch.js';
import { outcomeOfStory, type SwitchResult } from './outcome.js';
import { ReplicaSwitch, type ShownReplica } from './replica.switch.js';
import { type RotationPhase, RotationSwitch } from './rotation.switch.js';
import { ServiceSwitch } from './service.switch.js';
import { USERS } from '../users.js';

/** How the switches are set. */
export interface SwitchPositions {
  readonly keyServer: 'on' | 'off';
  readonly rotation: RotationPhase;
  /** null: there is no second Census. */
  readonly replica: ShownReplica | null;
  /** Where mails wait. */
  readonly mail: MailQueuePlace['kind'];
}

/** An order of the visitor. */
export interface Turn {
  /** The id of a switch. */
  readonly id: string;
  /** The id of one of its actions. */
  readonly action: string;
  /** What the visitor chose; empty: the switch has no choice. */
  readonly choice: string;
}

type Run = (choice: string) => Promise<SwitchResult>;

/** All switches of the page. */
@Injectable()
export class SwitchBoard {
  private readonly keyServer: KeyServerSwitch;
  private readonly rotation: RotationSwitch;
  private readonly replica: ReplicaSwitch;
  private readonly service: ServiceSwitch;
  private readonly mail: MailSwitch;
  private readonly busy = new Set<string>();
  /** `<switch>/<action>`. */
  private readonly runs: Readonly<Record<string, Run>>;

  constructor(
    @Inject(STAGE) private readonly stage: Stage,
    @Inject(Forger) forger: Forger,
    @Inject(StoryService) private readonly stories: StoryService,
    @Inject(Turnstile) turnstile: Turnstile,
  ) {
    this.keyServer = new KeyServerSwitch(stage, forger);
    this.rotation = new RotationSwitch({ stage, forger, stories });
    this.replica = new ReplicaSwitch(stage, forger);
    this.service = new ServiceSwitch(stage, stories);
    this.mail = new MailSwitch(stage, turnstile);
    this.runs = this.list();
  }

  positions(): SwitchPositions {
    return {
      keyServer: this.keyServer.position,
      rotation: this.rotation.phase,
      replica: this.replica.shown,
      mail: this.stage.environment.mailQueue.kind,
    };
  }

  /**
   * Turns a switch, and sends the next calls.
   *
   * @throws BadRequestException when there is no such switch, action or choice
   * @throws ConflictException when it cannot be turned now; the message says why
   */
  async turn({ id, action, choice }: Turn): Promise<SwitchResult> {
    const key = `${id}/${action}`;
    const run = Object.hasOwn(this.runs, key) ? this.runs[key] : undefined;
    if (!run) throw new BadRequestException('id, action: write those of a switch.');
    if (this.busy.has(id)) throw new ConflictException('This switch is still at work.');
    this.busy.add(id);
    try {
      return await run(choice);
    } catch (error) {
      if (error instanceof SetupError) throw new ConflictException(error.message);
      throw error;
    } finally {
      this.busy.delete(id);
    }
  }

  private list(): Readonly<Record<string, Run>> {
    const { keyServer, rotation, replica, service, mail } = this;
    return {
      'key-server/off': async () => await keyServer.turnOff(),
      'key-server/restart-census': async () => await keyServer.restartCensus(),
      'key-server/on': async () => await keyServer.turnOn(),
      'rotation/publish': async () => await rotation.publish(),
      'rotation/switch': async () => await rotation.switch(),
      'rotation/withdraw': async () => await rotation.withdraw(),
      'replica/shared': async () => await replica.start(true),
      'replica/apart': async () => await replica.start(false),
      'replica/stop': async () => await replica.stop(),
      'service/stop': async (name) => await service.stop(readServiceName(name)),
      'service/start': async (name) => await service.start(readServiceName(name)),
      'service/kill': async (name) => await service.kill(readServiceName(name)),
      'mail/begun': async () => await mail.kill('begun'),
      'mail/taken': async () => await mail.kill('taken'),
      'user/call': async (user) => await this.callAs(user),
    };
  }

  private async callAs(user: string): Promise<SwitchResult> {
    if (!isDemoUser(user)) throw new BadRequestException('choice: write the URI of a demo user.');
    const name = USERS.find(({ uri }) => uri === user)?.name ?? user;
    const story = await this.stories.play(user);
    return { told: `${name} is logged in.`, outcomes: [outcomeOfStory('The next call', story)] };
  }
}

function readServiceName(choice: string): ServiceName {
  if (isServiceName(choice)) return choice;
  throw new BadRequestException('choice: write the name of a service.');
}
