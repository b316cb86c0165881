import { stopServers } from './servers.ts';

/** Loaded before every suite: the servers that its tests started end with it, whatever its tests did. */
export const mochaHooks = { afterAll: stopServers };
