// Starts the gateways of scripts/test-gateways.mjs: each with its own configuration, on loopback, in a temporary folder.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const SECONDS_TO_START = 15;
const APACHE_MODULES = '/usr/lib/apache2/modules';
const isRoot = process.getuid?.() === 0;

/**
 * @typedef {{ port: number, http2Port: number, stop: () => Promise<void> }} Gateway
 * @typedef {{ program: string, version: readonly string[], command: (place: Place) => string[] }} Program
 * @typedef {{ folder: string, file: string, configuration: string, start: string | undefined }} Place
 */

/** How each program is started with a configuration; what it writes stays in the folder. @type {Record<string, Program>} */
export const PROGRAMS = {
  nginx: {
    program: 'nginx',
    version: ['-v'],
    command({ folder, file, configuration }) {
      const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
      const paths = places.map((name) => `${name}_temp_path ${folder}/${name};`);
      const user = isRoot ? 'user root;' : '';
      writeFileSync(
        file,
        `daemon off; ${user} pid ${folder}/pid; error_log ${folder}/log;
         events {} http { access_log off; ${paths.join(' ')}\n${configuration} }`,
      );
      return ['-p', folder, '-e', join(folder, 'log'), '-c', file];
    },
  },
  apache: {
    program: 'apache2',
    version: ['-v'],
    command({ folder, file, configuration }) {
      const modules = [
        'mpm_event',
        'authz_core',
        'proxy',
        'proxy_http',
        'headers',
        'http2',
        'rewrite',
      ];
      const loaded = modules.map(
        (name) => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`,
      );
      const user = isRoot ? 'User www-data\nGroup www-data' : '';
      writeFileSync(
        file,
        `ServerRoot ${folder}\nServerName localhost\nPidFile ${folder}/pid\nErrorLog ${folder}/log
         DefaultRuntimeDir ${folder}\nMutex pthread\n${user}\n${loaded.join('\n')}\n${configuration}`,
      );
      return ['-DFOREGROUND', '-f', file];
    },
  },
  caddy: {
    program: 'caddy',
    version: ['version'],
    command({ file, configuration }) {
      writeFileSync(file, `${configuration}\n`);
      return ['run', '--adapter', 'caddyfile', '--config', file];
    },
  },
  varnish: {
    program: 'varnishd',
    version: ['-V'],
    command({ folder, file, configuration, start = '' }) {
      writeFileSync(file, `${configuration}\n`);
      const args = start.replaceAll(/\\\n/g, ' ').trim().split(/\s+/).slice(1);
      const given = args.map((word) => (word.endsWith('.vcl') ? file : word));
      return ['-F', '-n', join(folder, 'work'), '-j', 'none', ...given];
    },
  },
  haproxy: {
    program: 'haproxy',
    version: ['-v'],
    command({ file, configuration }) {
      writeFileSync(file, `${configuration}\n`);
      return ['-db', '-f', file];
    },
  },
};

/** @param {string} program */
function isInstalled(program) {
  return searchPath().some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Debian keeps servers where users do not look. */
function searchPath() {
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
}

/**
 * @param {string} name
 * @returns {string | undefined} undefined where it is not installed
 */
export function versionOf(name) {
  const { program, version } = PROGRAMS[name];
  const lacksModules = name === 'apache' && !existsSync(APACHE_MODULES);
  if (!isInstalled(program) || lacksModules) return undefined;
  const env = { ...process.env, PATH: searchPath().join(delimiter) };
  const { stdout, stderr } = spawnSync(program, [...version], { encoding: 'utf8', env });
  return /\d+\.\d+\.\d+/.exec(stdout + stderr)?.[0] ?? 'unknown';
}

/**
 * Starts a program on free ports and waits until it takes connections.
 *
 * @param {string} name
 * @param {{ configuration: string, start?: string | undefined, receiver: number }} options `receiver`: the port behind it
 * @returns {Promise<Gateway>}
 * @throws when it does not start within 15 seconds, with what it has said
 */
export async function startGateway(name, { configuration, start, receiver }) {
  const folder = mkdtempSync(join(tmpdir(), `gateway-${name}-`));
  chmodSync(folder, 0o755);
  const [port, http2Port] = await freePorts();
  const withPorts = (/** @type {string} */ text) =>
    text
      .replaceAll('10.0.0.7:3000', `127.0.0.1:${receiver}`)
      .replaceAll(/(?<=[:\s])8080\b/g, String(port))
      .replaceAll(/(?<=[:\s])8081\b/g, String(http2Port));
  const args = PROGRAMS[name].command({
    folder,
    file: join(folder, 'configuration'),
    configuration: withPorts(configuration),
    start: start === undefined ? undefined : withPorts(start),
  });
  mkdirSync(join(folder, 'home'));
  const env = { PATH: searchPath().join(delimiter), HOME: join(folder, 'home') };
  const child = spawn(PROGRAMS[name].program, args, {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => (said = (said + String(chunk)).slice(-4000)));
  }
  const kill = () => child.kill();
  process.on('exit', kill);
  const stop = async () => {
    process.off('exit', kill);
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5000);
      await gone;
      clearTimeout(late);
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const deadline = Date.now() + SECONDS_TO_START * 1000;
  while (!(await takesConnections(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`${name} did not start: ${said}`);
    }
    await pause(50);
  }
  const hasHttp2Port = /(?<=[:\s])8081\b/.test(configuration + (start ?? ''));
  return { port, http2Port: hasHttp2Port ? http2Port : port, stop };
}

/** @returns {Promise<[number, number]>} */
async function freePorts() {
  const servers = [createServer(), createServer()];
  const ports = [];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports.push(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
  }
  for (const server of servers) server.close();
  return [ports[0] ?? 0, ports[1] ?? 0];
}

/** @param {number} port @returns {Promise<boolean>} */
async function takesConnections(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
