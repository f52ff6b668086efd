import { clearTimeout, setTimeout } from 'node:timers'
import { addressOf } from './address.ts'
import type { Client } from './connections.ts'

/** Errors that only follow from an earlier one, which says more. */
const CONSEQUENCE = /^(NOAUTH|Failed to refresh slots cache|All sentinels are unreachable.*ms\.$)/
/** What ioredis says of its own ready check when the server has closed the connection. */
const CLOSED = /^Stream isn't writeable/

export function isLive ({ status }: Client): boolean {
  return status === 'ready'
}

/** Resolves when the connection, which is not usable now, is; rejects after `timeout` milliseconds, with what went wrong meanwhile, or when it is closed. */
export function whenLive (client: Client, timeout: number): Promise<void> {
  const address = addressOf(client)
  return new Promise((resolve, reject) => {
    let cause: string | undefined
    let closed: string | undefined
    const timer = setTimeout(() => end(`there is no connection to ${address} within ${timeout} ms`), timeout)
    const onReady = (): void => end()
    const onEnd = (): void => end(`the connection to ${address} is closed`)
    const onError = (error: Error & { code?: string }): void => {
      // Where a name has several addresses, the error of all of them has a code and no message.
      const message = error.message === '' ? error.code : error.message
      if (!CLOSED.test(error.message) && (cause === undefined || !CONSEQUENCE.test(error.message))) cause = message
    }
    const onNodeError = (error: Error, node: string): void => { cause = `${node}: ${error.message}` }
    const onClose = (): void => { closed = 'the server closes it; check that it is Redis, and whether it wants TLS (rediss://)' }
    const end = (problem?: string): void => {
      clearTimeout(timer)
      client.off('ready', onReady).off('end', onEnd).off('error', onError).off('node error', onNodeError).off('close', onClose)
      if (problem === undefined) return resolve()
      const why = cause ?? closed
      reject(new Error(why === undefined ? problem : `${problem}: ${why}`))
    }
    client.on('ready', onReady).on('end', onEnd).on('error', onError).on('node error', onNodeError).on('close', onClose)
    if (client.status === 'end') onEnd()
  })
}
