import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { OrderBook } from '../orders.ts'

const MAX_LINE = 1000

/** The lines of a socket, for as long as each is short: nobody makes this process keep a line without an end. */
function onLine (socket: Socket, take: (line: string) => void): void {
  let rest = ''
  socket.setEncoding('utf8').on('data', (text) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop()!
    if ([rest, ...lines].some(({ length }) => length > MAX_LINE)) socket.destroy()
    else lines.forEach(take)
  })
}

/** Cash desks send orders over TCP, a line each: `<email> <item>`. The answer is the number of the order. */
export function addOrderListener (app: FastifyInstance, port: number) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', (err) => app.log.warn({ err }, 'a cash desk hung up'))
    onLine(socket, (line) => {
      const [, email, item] = /^(\S+@\S+) (.+)$/.exec(line.trimEnd()) ?? []
      if (email === undefined || item === undefined) {
        socket.write('error: send <email> <item>\n')
        return
      }
      try {
        socket.write(`${app.diContainer.resolve<OrderBook>('orders').place({ email, item }, 'tcp')}\n`)
      } catch (err) { // What an event listener throws ends the process.
        app.log.error({ err }, 'an order of a cash desk cannot be taken')
        socket.write('error: not taken\n')
      }
    })
  })

  app.jobs.service('order-listener', {
    async start ({ log }) {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      log.info({ address: server.address() }, 'cash desks can connect')
    },
    async stop () {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroySoon()
      await closed
    }
  })
  return server
}
