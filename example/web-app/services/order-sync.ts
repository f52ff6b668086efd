import { mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { poll } from '../../../lib/index.ts'
import type { Order } from '../orders.ts'

/**
 * A partner drops orders as JSON files into a folder: each is taken and moved to `done`, or to `failed`.
 * One that this process dies with before it is moved is taken again.
 */
export function addOrderSync (app: FastifyInstance, inbox: string, every: number) {
  app.jobs.service('order-sync', poll(every, async ({ signal, log, diScope }) => {
    const orders = diScope.resolve('orders')
    await Promise.all(['done', 'failed'].map((folder) => mkdir(join(inbox, folder), { recursive: true })))
    for (const file of (await readdir(inbox)).filter((name) => name.endsWith('.json')).sort()) {
      if (signal.aborted) return
      const order = await readOrder(join(inbox, file)).catch((err) => log.error({ err, file }, 'an order cannot be read'))
      // One that cannot be stored stays, for the next pass.
      if (order !== undefined) orders.place(order, 'file')
      await rename(join(inbox, file), join(inbox, order === undefined ? 'failed' : 'done', file))
    }
  }))
}

async function readOrder (file: string): Promise<Order> {
  const { email, item } = JSON.parse(await readFile(file, 'utf8'))
  if (!/^\S+@\S+$/.test(email) || typeof item !== 'string') throw new TypeError('an order has an email and an item')
  return { email, item }
}
