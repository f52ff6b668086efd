import type { fastifyAwilixPlugin as FastifyAwilixPlugin } from '@fastify/awilix'
import { createContainer } from 'awilix'
import { AwilixManager } from 'awilix-manager'
import type { FastifyInstance } from 'fastify'
import type { AppCradle } from '../types/cradle.ts'
import type { DiOptions } from '../types/options.ts'
import { InvalidOptionsError } from './errors.ts'

/** What @fastify/awilix decorates the app with. */
const DECORATORS = ['awilixManager', 'diContainer']

/**
 * Gives an app that has not registered @fastify/awilix a container, in the same way: what is registered with `asyncInit` or `eagerInject`
 * is there when the app is ready, and is disposed when it has closed. But no request gets a scope: that costs every route of
 * the app a third of its throughput.
 */
export async function provideContainer (instance: FastifyInstance, { requestScopes }: Required<DiOptions>): Promise<void> {
  if (instance.hasDecorator('diContainer')) return
  // A container of the app's own: @fastify/awilix's default one is shared by the whole process.
  const container = createContainer<AppCradle>()
  if (requestScopes) await instance.register(await loadFastifyAwilix(), { container })
  else decorate(instance, container)
  refuseLateRegistration(instance)
}

function decorate (instance: FastifyInstance, container: FastifyInstance['diContainer']): void {
  const manager = new AwilixManager({ diContainer: container, asyncInit: true, asyncDispose: true, eagerInject: true, strictBooleanEnforced: true })
  instance.decorate('diContainer', container)
  instance.decorate('awilixManager', manager as never)
  instance.addHook('onReady', () => manager.executeInit())
  instance.addHook('onClose', async () => {
    await manager.executeDispose()
    await container.dispose()
  })
}

async function loadFastifyAwilix (): Promise<typeof FastifyAwilixPlugin> {
  try {
    const { fastifyAwilixPlugin } = await import('@fastify/awilix')
    return fastifyAwilixPlugin
  } catch (error) {
    throw new InvalidOptionsError("fastify-background-jobs options: 'di.requestScopes' needs @fastify/awilix; run 'npm install @fastify/awilix'", { cause: error })
  }
}

/**
 * @fastify/awilix, registered after this plugin, would take the process down: it decorates what is decorated already, in a callback that nobody
 * guards. Its decorators are ignored instead, and the start fails with what to do.
 */
function refuseLateRegistration (instance: FastifyInstance): void {
  let error: Error | undefined
  const refuse = (add: (...args: any[]) => unknown) => function (this: FastifyInstance, name: unknown, ...rest: unknown[]) {
    if (!DECORATORS.includes(name as string) && !(name === 'diScope' && this.hasRequestDecorator(name))) return add.call(this, name, ...rest)
    error ??= new InvalidOptionsError(`decorator '${name}': fastify-background-jobs had brought a container by then; register @fastify/awilix first (with @fastify/autoload, which goes by the alphabet: name that plugin in the 'dependencies' of the one that registers fastify-background-jobs)`)
    return this
  }
  instance.decorate = refuse(instance.decorate) as typeof instance.decorate
  instance.decorateRequest = refuse(instance.decorateRequest) as typeof instance.decorateRequest
  instance.addHook('onReady', async () => {
    if (error !== undefined) throw error
  })
}
