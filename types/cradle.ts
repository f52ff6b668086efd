// The declarations of a package that imports an optional one must compile without it: then this type is any.
/** @ts-ignore */
import type { Cradle } from '@fastify/awilix'

/** What the app has registered in its container, as declared in the `Cradle` of @fastify/awilix; `any` where that is not installed. */
export type AppCradle = Cradle
