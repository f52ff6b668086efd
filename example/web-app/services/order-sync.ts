import { mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { poll } from '../../../lib/index.ts'
import type { OrderBook } from '../orders.ts'

/** A partner drops orders as JSON files into a folder: each is taken once and moved to `done`, or to `failed`. */
export function addOrderSync (app: FastifyInstance, inbox: string, every: number) {
  app.jobs.service('order-sync', poll(every, async ({ signal, log, diScope }) => {
    const orders = diScope.resolve<OrderBook>('orders')
    await Promise.all(['done', 'failed'].map((folder) => mkdir(join(inbox, folder), { recursive: true })))
    for (const file of (await readdir(inbox)).filter((name) => name.endsWith('.json')).sort()) {
      if (signal.aborted) return
      let folder = 'done'
      try {
        const { email, item } = JSON.parse(await readFile(join(inbox, file), 'utf8'))
        orders.place({ email, item }, 'file')
      } catch (err) {
        log.error({ err, file }, 'an order cannot be read')
        folder = 'failed'
      }
      await rename(join(inbox, file), join(inbox, folder, file))
    }
  }), { onFailure: 'restart' })
}
