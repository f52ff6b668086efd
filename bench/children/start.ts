import { memoryUsage } from 'node:process'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'

/** `import`: a module, after others that do not count. `ready`: an app, with a route that has a schema or with none, with the plugin or without. */
export type StartTask = { kind: 'import', module: string, after?: string } | { kind: 'ready', route: boolean, plugin: boolean, options?: object }

/** Milliseconds by the clock and of the processor, and the bytes by which the process grew. */
export interface StartMeasurement {
  time: number
  cpu: number
  rss: number
}

/** By its name: what runs is what an app installs, the built package. */
export const OURS: string = 'fastify-background-jobs'

async function ready ({ route, plugin, options }: Extract<StartTask, { kind: 'ready' }>) {
  const { fastify } = await import('fastify')
  const app: FastifyInstance = fastify({ logger: false })
  if (plugin) {
    const { backgroundJobs } = await import(OURS) as { backgroundJobs: FastifyPluginAsync }
    await app.register(backgroundJobs, options ?? {})
    app.jobs.define('noop', async () => {})
  }
  if (route) {
    const body = { type: 'object', required: ['to'], properties: { to: { type: 'string' } } }
    const response = { 202: { type: 'object', properties: { jobId: { type: 'string' } } } }
    app.post('/mails', { schema: { body, response } }, async (_request, reply) => reply.code(202).send({ jobId: 'none' }))
  }
  await app.ready()
}

if (process.send !== undefined) {
  const task = JSON.parse(process.argv[2]!) as StartTask
  if (task.kind === 'import' && task.after !== undefined) await import(task.after)
  const [start, processor, bytes] = [performance.now(), process.cpuUsage(), memoryUsage.rss()]
  await (task.kind === 'import' ? import(task.module) : ready(task))
  const { user, system } = process.cpuUsage(processor)
  process.send({ time: performance.now() - start, cpu: (user + system) / 1000, rss: memoryUsage.rss() - bytes } satisfies StartMeasurement)
  process.exit()
}
