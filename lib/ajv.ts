import { createRequire } from 'node:module'
import type { Ajv, Options } from 'ajv'

// Late, as Fastify does it: Ajv takes a third of the time that the rest of Fastify takes to load. And at once, since `define` answers at once.
const require = createRequire(import.meta.url)

export function createAjv (options: Options): Ajv {
  const { Ajv } = require('ajv') as typeof import('ajv')
  return new Ajv(options)
}

/** Adds the formats of JSON Schema, such as `email`. */
export function withFormats (ajv: Ajv): Ajv {
  // It is CommonJS: its types and its runtime disagree about where the default export is.
  return (require('ajv-formats') as (ajv: Ajv) => Ajv)(ajv)
}
