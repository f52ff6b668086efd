import { memoryUsage } from 'node:process'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'

/** `import`: these modules, one after the other. `ready`: an app, with a route that has a schema or with none, with the plugin or without. */
export type StartTask = { kind: 'import', modules: readonly string[] } | { kind: 'ready', route: boolean, plugin: boolean, options?: object }

/** Milliseconds of each import, or until the app was ready; bytes by which the process grew meanwhile. */
export interface StartMeasurement {
  times: number[]
  rss: number
}

/** By its name: what runs is what an app installs, the built package. */
export const OURS: string = 'fastify-background-jobs'

async function importInTurn (modules: readonly string[]) {
  const times: number[] = []
  for (const module of modules) {
    const start = performance.now()
    await import(module)
    times.push(performance.now() - start)
  }
  return times
}

async function ready ({ route, plugin, options }: Extract<StartTask, { kind: 'ready' }>) {
  const start = performance.now()
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
  return [performance.now() - start]
}

if (process.send !== undefined) {
  const task = JSON.parse(process.argv[2]!) as StartTask
  const before = memoryUsage.rss()
  const times = task.kind === 'import' ? await importInTurn(task.modules) : await ready(task)
  process.send({ times, rss: memoryUsage.rss() - before } satisfies StartMeasurement)
  process.exit()
}
