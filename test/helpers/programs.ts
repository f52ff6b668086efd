import { spawn } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ended, plainEnv, root } from './child.ts'
import { packageIsBuilt } from './dist.ts'
import { postgresSchema } from './postgres.ts'
import { redisSpace } from './redis.ts'

const PROGRAM = /^## ([^\n]+)\n(?:(?!## )[^\n]*\n)*?```ts\n((?:(?!^```)[^\n]*\n)*)```\n\n```text\n(.*?)^```$/gms

/** A whole program in the documentation, and what it prints. */
export interface Program {
  readonly title: string
  readonly code: string
  readonly output: string
}

/** The programs of a page: each has a heading of its own. */
export async function programsOf (page: string): Promise<Program[]> {
  const text = await readFile(join(root, page), 'utf8')
  return Array.from(text.matchAll(PROGRAM), ([, title, code, output]) => ({ title: title!, code: code!, output: output! }))
}

/** Those of all pages. */
export async function allPrograms (): Promise<Program[]> {
  const pages = (await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md'))
  return (await Promise.all(pages.map((name) => programsOf(`docs/${name}`)))).flat()
}

/** What the compiler says against the programs. */
export async function typeErrors (t: Test, programs: readonly Program[]): Promise<string> {
  await packageIsBuilt()
  const folder = t.testdir()
  const files = programs.map((_, index) => `program-${index}.ts`)
  await Promise.all(programs.map(({ code }, index) => writeFile(join(folder, files[index]!), code)))
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({
    extends: join(root, 'tsconfig.json'), compilerOptions: { lib: ['ES2024'], rewriteRelativeImportExtensions: false }, files, include: []
  }))
  const { out, err } = await run([join(root, 'node_modules/typescript/bin/tsc'), '-p', folder])
  return out + err
}

/** What a program prints; undefined, with the test skipped, where a server that it needs cannot be had. */
export async function outputOf (t: Test, program: string): Promise<string | undefined> {
  await packageIsBuilt()
  // In a folder of the package, which finds itself by its name there.
  const file = join(t.testdir(), 'program.ts')
  const settings = await settingsOf(t, program)
  if (settings === undefined) return undefined
  await writeFile(file, settings.code)
  // Not the exit code: a program whose service fails ends with 1.
  const { signal, out, err } = await run(['--disable-warning=ExperimentalWarning', file], settings.env)
  t.same({ signal, err }, { signal: null, err: '' })
  return out
}

function run (args: readonly string[], env: Record<string, string> = {}): ReturnType<typeof ended> {
  return ended(spawn(process.execPath, args, { env: { ...plainEnv, ...env }, stdio: ['ignore', 'pipe', 'pipe'] }))
}

interface Settings { readonly env: Record<string, string>, readonly code: string }

async function settingsOf (t: Test, code: string): Promise<Settings | undefined> {
  if (code.includes('DATABASE_URL')) return postgresSettings(t, code)
  if (code.includes('REDIS_URL')) return redisSettings(t, code)
  return { env: {}, code }
}

/** The program's tables belong into the test's own schema. */
async function postgresSettings (t: Test, code: string): Promise<Settings | undefined> {
  const postgres = await postgresSchema(t)
  if (postgres === undefined) return undefined
  const url = new URL(postgres.url)
  url.searchParams.set('options', `-c search_path=${postgres.schema}`)
  return { env: { DATABASE_URL: url.href }, code: code.replace('postgres({ pool })', `postgres({ pool, schema: '${postgres.schema}' })`) }
}

/** The program's keys begin with the test's own prefix. */
async function redisSettings (t: Test, code: string): Promise<Settings | undefined> {
  const redis = await redisSpace(t)
  return redis && { env: { REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix }, code }
}
