import type { FastifyInstance, FastifySchema, FastifySerializerCompiler, RouteOptions } from 'fastify'
import { InvalidOptionsError } from '../errors.ts'
import { schemaErrorFormatter, validatorCompiler } from './validator.ts'

/**
 * No serializer for any response: the plugin's answers are texts already (`sendJson`), and what remains are errors. Those the app's
 * error handler shapes, or Fastify, as on a route without response schemas.
 */
const serializerCompiler = (() => undefined) as unknown as FastifySerializerCompiler<unknown>

/** What makes the plugin's routes work in every app: their own compilers, and an error that names our option when a path is taken. */
export class OwnRoutes {
  readonly #instance: FastifyInstance
  readonly #isHidden: boolean
  /** By method and path: the ways out of a conflict. */
  readonly #taken = new Map<string, string>()
  #wayOut: string | undefined

  constructor (instance: FastifyInstance, isHidden: boolean) {
    this.#instance = instance
    this.#isHidden = isHidden
    instance.addHook('onRoute', (route) => this.#onRoute(route))
  }

  /** What each route of the plugin passes beside its handler. */
  options (given: object) {
    // A copy: Fastify and the app's onRoute hooks change schemas, and other apps of the process have these routes, too.
    // The cast: only @fastify/swagger's types know tags, operationId, security and hide.
    const schema = { ...structuredClone(given), hide: this.#isHidden } as FastifySchema
    // The app's `transform` may be made for other schemas than JSON Schema; fastify-type-provider-zod's throws on these.
    const config = { swaggerTransform: false as const }
    return { schema, config, validatorCompiler, serializerCompiler, schemaErrorFormatter }
  }

  /** Calls `register`, which registers routes at once. `wayOut` says which options free a path that another route has. */
  register (wayOut: string, register: () => void): void {
    this.#wayOut = wayOut
    try {
      register()
    } catch (error) {
      const { code, message } = Object(error) as { code?: unknown, message: string }
      throw code === 'FST_ERR_DUPLICATED_ROUTE' ? conflict(message, wayOut, error) : error
    } finally {
      this.#wayOut = undefined
    }
  }

  // Fastify calls it just before it would refuse a route that comes after ours. Its error would name neither the plugin nor an option.
  #onRoute ({ method, url, constraints = {} }: RouteOptions): void {
    for (const one of [method].flat()) {
      const key = `${one} ${this.#pathOf(url)}`
      const wayOut = this.#taken.get(key)
      if (this.#wayOut !== undefined) this.#taken.set(key, this.#wayOut)
      else if (wayOut !== undefined && Object.keys(constraints).length === 0) throw conflict(`Method '${one}' already declared for route '${url}'`, wayOut)
    }
  }

  /** The same for all URLs that are the same to the app's router. */
  #pathOf (url: string): string {
    const { routerOptions = {}, ...top } = this.#instance.initialConfig
    // Names of parameters make no difference.
    let path = url.replace(/:\w+/g, ':')
    if (top.ignoreDuplicateSlashes || routerOptions.ignoreDuplicateSlashes) path = path.replace(/\/+/g, '/')
    if (top.ignoreTrailingSlash || routerOptions.ignoreTrailingSlash) path = path.replace(/(?<=.)\/$/, '')
    return top.caseSensitive && routerOptions.caseSensitive !== false ? path : path.toLowerCase()
  }
}

function conflict (problem: string, wayOut: string, cause?: unknown): Error {
  return new InvalidOptionsError(`fastify-background-jobs options: ${problem}, which this plugin has as well; ${wayOut}`, { cause })
}
