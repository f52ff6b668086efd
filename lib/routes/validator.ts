import type { Ajv, ValidateFunction } from 'ajv'
import type { FastifySchemaCompiler, RouteShorthandOptions } from 'fastify'
import { createAjv } from '../ajv.ts'

// As Fastify's own compiler, but for `strictNumbers`: with it, Ajv takes the text 'Infinity' for a number and then skips
// `minimum` and `maximum`, which it checks for finite numbers only.
const OPTIONS = { coerceTypes: 'array', useDefaults: true, strict: false, strictNumbers: false } as const

let ajv: Ajv | undefined

/**
 * Compiles what the plugin's routes take from a request. Every number in their schemas needs a `minimum` and a `maximum`.
 * The app's compiler is left alone: it may have other options, or be made for other schemas than JSON Schema.
 */
export const validatorCompiler: FastifySchemaCompiler<unknown> = ({ schema }) => {
  // With the first request: many apps never get one at these routes.
  let check: ValidateFunction | undefined
  return function validate (data: unknown) {
    check ??= (ajv ??= createAjv(OPTIONS)).compile(schema as object)
    return check(data) ? true : { error: check.errors as never }
  }
}

/** As Fastify's own. The app's may expect the errors of another validator. */
export const schemaErrorFormatter: RouteShorthandOptions['schemaErrorFormatter'] = ([error], part) => new Error(`${part}${error!.instancePath} ${error!.message}`)
