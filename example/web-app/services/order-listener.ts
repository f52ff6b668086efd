import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { FastifyInstance } from 'fastify'
import type { OrderBook } from '../orders.ts'

/** Cash desks send orders over TCP, a line each: `<email> <item>`. The answer is the number of the order. */
export function addOrderListener (app: FastifyInstance, port: number) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', (err) => app.log.warn({ err }, 'a cash desk hung up'))
    createInterface({ input: socket }).on('line', (line) => {
      const [, email, item] = /^(\S+@\S+) (.+)$/.exec(line) ?? []
      if (email === undefined || item === undefined) socket.write('error: send <email> <item>\n')
      else socket.write(`${app.diContainer.resolve<OrderBook>('orders').place({ email, item }, 'tcp')}\n`)
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
