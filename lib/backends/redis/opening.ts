import { setTimeout } from 'node:timers/promises'
import { addressOf } from './address.ts'
import { isCluster } from './client-kind.ts'
import type { Client } from './connections.ts'
import { storesNothing } from './errors.ts'
import { run } from './scripts.ts'
import type { JobStore } from './store.ts'

/** Milliseconds between two attempts to write. */
const INTERVAL = 100

/**
 * Rejects where Redis does not store the jobs of the queue: on a replica, on a node of a cluster, for a user who may not. What may pass,
 * such as a failover, has time until `deadline`, monotonic milliseconds.
 */
export async function whenWritable (client: Client, { scripts: { keys } }: JobStore, deadline: number): Promise<void> {
  for (;;) {
    try {
      await run(client, 'jobsTryOut', [keys.wait!, keys.meta!])
      return
    } catch (error) {
      if (!storesNothing(error) || performance.now() > deadline) throw explained(client, error as Error)
      await setTimeout(INTERVAL)
    }
  }
}

function explained (client: Client, { message }: Error): Error {
  const isNode = !isCluster(client) && /^(MOVED|ASK|CROSSSLOT|CLUSTERDOWN)/.test(message)
  const problem = isNode ? "is a node of a cluster, give a Cluster of ioredis as 'connection'" : 'stores no jobs'
  return new Error(`${addressOf(client)} ${problem}: ${message}`)
}
