import { createRequire } from 'node:module'
import type { Ajv, MissingRefError, Options, ValidateFunction } from 'ajv'
import type { FastifyInstance } from 'fastify'
import type { AjvOptions } from '../types/options.ts'
import { createAjv, withFormats } from './ajv.ts'
import { InvalidOptionsError, InvalidPayloadError } from './errors.ts'
import { toError } from './serialize-error.ts'

/** A JSON Schema of payloads. It checks and changes nothing: no coercion, no defaults, no removal, unless the option `ajv` asks for it. */
export class JsonPayloadSchema {
  readonly transforms = false
  readonly #job: string
  readonly #schema: object
  readonly #instance: FastifyInstance
  readonly #compiler: PayloadCompiler
  /** Undefined while it refers to shared schemas that the instance does not have yet. */
  #validate: ValidateFunction | undefined

  constructor (job: string, schema: object, instance: FastifyInstance, compiler: PayloadCompiler) {
    this.#job = job
    this.#schema = schema
    this.#instance = instance
    this.#compiler = compiler
    try {
      this.#validate = this.#compile()
    } catch (error) {
      // As with a route's schema, a shared schema may be added later, until the app is ready.
      if (!isMissing(error)) throw this.#refusal(error)
    }
  }

  complete (): ValidateFunction {
    try {
      return (this.#validate ??= this.#compile())
    } catch (error) {
      throw this.#refusal(error)
    }
  }

  check (payload: unknown): unknown {
    const validate = this.#validate ?? this.complete()
    if (!validate(payload)) throw new InvalidPayloadError(`job '${this.#job}'`, this.#compiler.explain(validate))
    return payload
  }

  #compile (): ValidateFunction {
    return this.#compiler.compile(this.#schema, () => this.#instance.getSchemas() as SharedSchemas)
  }

  #refusal (error: unknown): Error {
    const subject = `definition of job '${this.#job}': option 'schema'`
    if (!isMissing(error)) return new InvalidOptionsError(`${subject} cannot be used as a JSON Schema (${toError(error).message})`, { cause: error })
    const own = Object.keys(this.#instance.getSchemas()).join("', '")
    return new InvalidOptionsError(`${subject} refers to '${error.missingRef}', and the Fastify instance that defines the job has ${own === '' ? 'no shared schemas' : `only '${own}'`}; add the schema to that instance with addSchema() before the app is ready`, { cause: error })
  }
}

/** Whether a schema refers to another one that is not there. No id: the missing part is one of the schema itself. */
function isMissing (error: unknown): error is MissingRefError {
  const { MissingRefError } = require('ajv') as typeof import('ajv')
  return error instanceof MissingRefError && error.missingSchema !== ''
}

/** By id. */
type SharedSchemas = Readonly<Record<string, { readonly $id: string, readonly $schema?: unknown }>>

const DRAFT_07 = 'http://json-schema.org/draft-07/schema'

const require = createRequire(import.meta.url)

/** What compiles each draft. Most apps need one draft: the others are loaded when a schema asks for them, at once, since `define` answers at once. */
const DRAFTS = {
  [DRAFT_07]: createAjv,
  'https://json-schema.org/draft/2019-09/schema': (options: Options): Ajv => new (require('ajv/dist/2019.js').Ajv2019)(options),
  'https://json-schema.org/draft/2020-12/schema': (options: Options): Ajv => new (require('ajv/dist/2020.js').Ajv2020)(options)
}

type Draft = keyof typeof DRAFTS

/** Compiles the JSON Schemas of payloads. */
export class PayloadCompiler {
  readonly #options: AjvOptions
  readonly #byDraft = new Map<Draft, Ajv>()

  constructor (options: AjvOptions = {}) {
    this.#options = options
    // Options that Ajv refuses are refused at the registration; without any, an app that has no schemas does not load it.
    if (options.customOptions !== undefined || options.plugins !== undefined) this.#ajvOf(DRAFT_07)
  }

  /** Throws what Ajv throws, also while a schema is missing. */
  compile (schema: object, sharedSchemas: () => SharedSchemas): ValidateFunction {
    const draft = this.#draftOf(schema)
    const { $id, $ref } = schema as { readonly $id?: unknown, readonly $ref?: unknown }
    // Its validation would never end.
    if (typeof $ref === 'string' && withoutHash($ref) === (typeof $id === 'string' ? withoutHash($id) : '')) throw new Error('its \'$ref\' refers to the schema itself; leave out \'$id\', or refer to another one')
    const validate = compileAlone(this.#ajvOf(draft), schema, (id) => this.#shared(sharedSchemas(), id, draft))
    if ('$async' in validate) throw new Error('it is asynchronous ($async), and payloads are checked at once')
    return validate
  }

  explain (validate: ValidateFunction): string {
    return this.#ajvOf(DRAFT_07).errorsText(validate.errors, { dataVar: 'payload' })
  }

  #shared (schemas: SharedSchemas, id: string, draft: Draft): object | undefined {
    const shared = Object.values(schemas).find(({ $id }) => withoutHash($id) === id) ??
      // Parts of a shared schema may have ids, too.
      Object.values(schemas).find((schema) => JSON.stringify(schema).includes(`"$id":${JSON.stringify(id)}`))
    if (shared?.$schema !== undefined && this.#draftOf(shared) !== draft) {
      throw new Error(`the shared schema '${shared.$id}' is of another draft; give both the same '$schema'`)
    }
    return shared
  }

  #draftOf ({ $schema }: { readonly $schema?: unknown }): Draft {
    // Ajv tells what is wrong with one that is no text.
    if (typeof $schema !== 'string') return DRAFT_07
    const draft = withoutHash($schema)
    if (Object.hasOwn(DRAFTS, draft)) return draft as Draft
    // Plugins of the app's may have added other meta-schemas.
    if (this.#ajvOf(DRAFT_07).getSchema($schema) !== undefined) return DRAFT_07
    throw new Error(`its '$schema' is unknown: '${$schema.slice(0, 128)}'; use one of '${Object.keys(DRAFTS).join("', '")}', or leave it out for draft-07`)
  }

  #ajvOf (draft: Draft): Ajv {
    let ajv = this.#byDraft.get(draft)
    if (ajv === undefined) this.#byDraft.set(draft, ajv = this.#create(draft))
    return ajv
  }

  #create (draft: Draft): Ajv {
    const { customOptions, plugins = [] } = this.#options
    try {
      const ajv = withFormats(DRAFTS[draft]({ strict: false, ...customOptions }))
      for (const given of plugins) {
        const [plugin, pluginOptions] = Array.isArray(given) ? given : [given]
        plugin(ajv as never, pluginOptions)
      }
      return ajv
    } catch (error) {
      throw new InvalidOptionsError(`fastify-background-jobs options: option 'ajv' failed (${toError(error).message})`, { cause: error })
    }
  }
}

function withoutHash (id: string): string {
  return id.replace(/#$/, '')
}

/**
 * Leaves the Ajv as it was: each Fastify instance has shared schemas of its own, whose ids may be those of other instances' schemas, and
 * an Ajv for each instance would compile its meta-schema anew, which takes longer than everything else here.
 */
function compileAlone (ajv: Ajv, schema: object, sharedSchema: (id: string) => object | undefined): ValidateFunction {
  const schemas = { ...ajv.schemas }
  const refs = { ...ajv.refs }
  const used = [schema]
  try {
    while (true) {
      try {
        return ajv.compile(schema)
      } catch (error) {
        const shared = isMissing(error) ? sharedSchema(error.missingSchema) : undefined
        if (shared === undefined) throw error
        if (used.includes(shared)) throw new Error(`there is no '${(error as MissingRefError).missingRef}': that schema is there, and has no such part`)
        used.push(shared)
        ajv.addSchema(shared)
      }
    }
  } finally {
    for (const one of used) ajv.removeSchema(one)
    restore(ajv.schemas, schemas)
    restore(ajv.refs, refs)
  }
}

function restore (now: Record<string, unknown>, before: Record<string, unknown>): void {
  for (const key of Object.keys(now)) {
    if (!(key in before)) delete now[key]
  }
  Object.assign(now, before)
}
