import type { FastifyInstance } from 'fastify'
import { InvalidOptionsError } from './errors.ts'
import { JsonPayloadSchema, type PayloadCompiler } from './json-schema.ts'
import { isStandardSchema, StandardPayloadSchema } from './standard-schema.ts'

/** What checks the payloads of one job. */
export interface PayloadSchema {
  /** The handler gets what `check` returns, which need not be what was enqueued. */
  readonly transforms: boolean
  /** Called when the app gets ready. Throws FST_JOBS_INVALID_OPTIONS when the schema refers to one that is missing. */
  complete (): unknown
  /** Throws FST_JOBS_INVALID_PAYLOAD. */
  check (payload: unknown): unknown
}

/** Throws FST_JOBS_INVALID_OPTIONS. `instance`: the one that defines the job. */
export function createPayloadSchema (job: string, schema: object, instance: FastifyInstance, compiler: PayloadCompiler): PayloadSchema {
  if (isStandardSchema(schema)) return new StandardPayloadSchema(job, schema)
  if (isValidator(schema)) {
    throw new InvalidOptionsError(`definition of job '${job}': option 'schema' is a validator without '~standard'; give a schema of a library that implements Standard Schema (zod ≥ 3.24, valibot ≥ 1, arktype ≥ 2), or a JSON Schema`)
  }
  return new JsonPayloadSchema(job, schema, instance, compiler)
}

/** Ajv ignores what it does not know: as a JSON Schema, a validator would let everything pass. */
function isValidator (schema: object): boolean {
  return typeof schema === 'function' || ['parse', 'validate'].some((method) => typeof (schema as Record<string, unknown>)[method] === 'function')
}
