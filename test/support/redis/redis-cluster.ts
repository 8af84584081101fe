import { findFreePort, RedisServer } from './redis-server.js';

/** Two servers of a cluster: the first knows that all keys belong to the second. */
export async function startCluster(closing: <T extends { close(): unknown }>(part: T) => T) {
  const startNode = async () => {
    const bus = await findFreePort();
    const settings = ['--cluster-enabled', 'yes', '--cluster-port', `${bus}`];
    return { node: closing(await RedisServer.start(...settings)), bus };
  };
  const [empty, owner] = [await startNode(), await startNode()];
  await owner.node.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await empty.node.command('CLUSTER', 'MEET', '127.0.0.1', `${owner.node.port}`, `${owner.bus}`);
  for (const { node } of [empty, owner]) {
    while (!String(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok')) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return { empty: empty.node, owner: owner.node };
}
