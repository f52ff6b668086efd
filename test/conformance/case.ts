import type { Lab } from './lab.ts'
import type { ConformanceTarget } from './target.ts'
import type { Capabilities } from '../../lib/backends/index.ts'

/** What a backend has, and what its target offers to test it with. */
export interface Subject {
  readonly capabilities: Capabilities
  readonly target: ConformanceTarget
}

/** One thing that every backend does. */
export interface Case {
  /** A sentence. */
  readonly name: string
  /** Absent: it is asked of every backend. */
  appliesTo? (subject: Subject): boolean
  /** Rejects when the backend does otherwise. */
  run (lab: Lab): Promise<void>
}

/** Jobs survive the process: cases with processes that are killed, and with apps that come after one another. */
export function durable ({ capabilities }: Subject): boolean {
  return capabilities.durable
}

/** Payloads travel as text; an in-process backend that takes inline functions hands objects over as they are. */
export function storesPayloads ({ capabilities }: Subject): boolean {
  return !capabilities.delegates
}
