import type { Redis } from 'ioredis'

/** What ioredis asks whether the server that it has connected to is the right one. */
interface Connecting { readonly connector: { check (info: unknown): boolean } }

/**
 * Keeps a connection from being used in database 0 when the database that it is for cannot be selected: ioredis emits an error then,
 * and goes on. Such a connection does not become ready, now or after a reconnect.
 */
export function keepToDatabase (client: Redis): void {
  const { options } = client
  if (!options.db) return
  // Nothing is sent before the server has answered both SELECT and the ready check.
  options.enableReadyCheck = true
  let refused = false
  client.on('connect', () => { refused = false })
  client.on('error', (error: Error & { command?: { name: string } }) => {
    // NOAUTH only follows a refused or missing password, which ioredis reports by itself.
    if (error.command?.name !== 'select' || error.message.startsWith('NOAUTH')) return
    refused = true
    error.message = `database ${options.db} cannot be selected: ${error.message}`
  })
  const { connector } = client as unknown as Connecting
  const check = connector.check.bind(connector)
  connector.check = (info) => !refused && check(info)
}
