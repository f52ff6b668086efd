import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Jobs, RequestJobs } from '../types/jobs.ts'
import type { BackgroundJobsOptions } from '../types/options.ts'
import { watchClose } from './close-watch.ts'
import { provideContainer } from './di.ts'
import { InvalidOptionsError } from './errors.ts'
import { JobsFacade } from './jobs.ts'
import { resolveOptions, type ResolvedOptions } from './options.ts'
import { RequestFacade } from './request-jobs.ts'
import { adminRoutes } from './routes/admin.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { OwnRoutes } from './routes/own-routes.ts'
import { RetryAfterWhileClosing } from './routes/retry-after.ts'
import { statusRoutes } from './routes/status.ts'
import { Runtime } from './runtime.ts'

async function backgroundJobs (instance: FastifyInstance, given: BackgroundJobsOptions): Promise<void> {
  if (instance.hasDecorator('jobs') || instance.hasRequestDecorator('jobs')) {
    throw new InvalidOptionsError("registration: fastify-background-jobs is registered already, or another plugin decorated the app or its requests with 'jobs'; one registration serves the whole app")
  }
  const options = resolveOptions(given)
  await provideContainer(instance, options.di)

  const runtime = new Runtime(instance, options)
  await runtime.open()
  try {
    decorate(instance, runtime)
    addLifecycleHooks(instance, runtime)
  } catch (error) {
    // After its pluginTimeout Fastify takes no hook any more: nobody else would close what was opened.
    await runtime.closeBackends()
    throw error
  }
  await addRoutes(instance, runtime, options)
}

function decorate (instance: FastifyInstance, runtime: Runtime): void {
  const facades = new WeakMap<FastifyInstance, JobsFacade>()
  instance.decorate('jobs', {
    // Each instance its own face, so that a handler's `this` is the instance that defined it.
    getter (this: FastifyInstance): Jobs {
      let facade = facades.get(this)
      if (facade === undefined) facades.set(this, facade = new JobsFacade(runtime, this))
      return facade as unknown as Jobs
    }
  })
  instance.decorateRequest('jobs', {
    getter (this: FastifyRequest): RequestJobs {
      return new RequestFacade(this.server.jobs as unknown as JobsFacade, this) as unknown as RequestJobs
    }
  })
}

function addLifecycleHooks (instance: FastifyInstance, runtime: Runtime): void {
  const { context, lifecycle } = runtime
  const retryAfter = new RetryAfterWhileClosing(instance)
  watchClose(rootOf(instance), () => context.run(lifecycle.closeCalled, lifecycle))
  instance.addHook('onReady', async () => {
    await context.run(lifecycle.start, lifecycle)
    // Whoever waits for the app to be ready is not kept waiting by a loop; an app that does not get ready runs none.
    rootOf(instance).ready().then(() => context.run(lifecycle.run, lifecycle), () => {})
  })
  instance.addHook('preClose', async () => {
    context.run(lifecycle.stop, lifecycle)
    retryAfter.begin()
    // avvio's own method: what is pushed now runs before every plugin's onClose, so handlers still have their database.
    ;(instance as unknown as { onClose (drain: () => Promise<void>): void }).onClose(() => context.run(lifecycle.drain, lifecycle))
  })
  // Another plugin's failing preClose skips ours.
  instance.addHook('onClose', async () => {
    await context.run(lifecycle.drain, lifecycle).finally(() => retryAfter.end())
  })
}

/** The app itself: below it `ready` is avvio's, which takes the process down when it is called while the app gets ready. */
function rootOf (instance: FastifyInstance): FastifyInstance {
  const parent = Object.getPrototypeOf(instance) as object
  return 'ready' in parent ? rootOf(parent as FastifyInstance) : instance
}

async function addRoutes (instance: FastifyInstance, runtime: Runtime, { admin, health, hideRoutes, metrics, routes }: ResolvedOptions): Promise<void> {
  const own = new OwnRoutes(instance, hideRoutes)
  if (routes !== false) {
    own.register("set another 'routes.prefix', or routes: false for none", () => statusRoutes(instance, runtime, routes.prefix, own))
  }
  if (admin !== undefined) adminRoutes(instance, runtime, admin, own)
  if (health !== false) {
    own.register("set another 'health.path', or health: false for none", () => healthRoutes(instance, runtime, health, own))
  }
  if (metrics === false) return
  // prom-client takes half as long to load as Fastify itself: only an app with metrics waits for it.
  const { publishMetrics } = await import('./observability/metrics.ts')
  const { registry, publisher } = publishMetrics(runtime, metrics)
  runtime.metrics = { registry, prefix: metrics.prefix }
  instance.addHook('onClose', async () => publisher.withdraw())
  const { path } = metrics
  if (path !== false) {
    own.register("set another 'metrics.path', or metrics: { path: false } for none", () => metricsRoute(instance, registry, path, own))
  }
}

const plugin = fp(backgroundJobs, { fastify: '5.x', name: 'fastify-background-jobs' })

export default plugin
export { plugin as backgroundJobs }
export { memory, type MemoryOptions } from './backends/memory/index.ts'
export { systemClock } from './clock.ts'
export { NonRetryableError } from './errors.ts'
export { ManualClock } from './manual-clock.ts'
export { poll } from './services/poll.ts'
export type * from '../types/index.ts'
