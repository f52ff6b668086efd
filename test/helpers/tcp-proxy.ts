import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A way to a server on this machine that a test can break. */
export class TcpProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #swallows = false

  static async to (t: Test, port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.teardown(() => proxy.close())
    return proxy
  }

  private constructor (port: number) {
    this.#server = createServer((client) => this.#pass(client, port))
  }

  get port (): number {
    return (this.#server.address() as AddressInfo).port
  }

  get connections (): number {
    return this.#sockets.size
  }

  /** Keeps connections, and takes new ones, but passes nothing on any more: as a network that loses everything. */
  swallow (): void {
    this.#swallows = true
  }

  /** New connections are passed on again; those that lost something stay lost. */
  pass (): void {
    this.#swallows = false
  }

  /** Ends every connection at once. */
  reset (): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async close (): Promise<void> {
    this.#server.close()
    this.reset()
    await once(this.#server, 'close')
  }

  #pass (client: Socket, port: number): void {
    this.#sockets.add(client)
    client.on('close', () => this.#sockets.delete(client))
    client.on('error', () => {})
    const server = connect(port, '127.0.0.1')
    let lost = false
    const pipe = (from: Socket, to: Socket): void => {
      from.on('data', (data) => {
        lost ||= this.#swallows
        if (!lost) to.write(data)
      })
      from.on('close', () => to.destroy())
    }
    server.on('error', () => client.destroy())
    pipe(client, server)
    pipe(server, client)
  }
}
