import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { plainEnv, root } from './example.ts'
import { postgresSchema } from './postgres.ts'
import { redisSpace } from './redis.ts'

const execute = promisify(execFile)
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

/** What the compiler says against the programs. */
export async function typeErrors (t: Test, programs: readonly Program[]): Promise<string> {
  const folder = t.testdir()
  const files = programs.map((_, index) => `program-${index}.ts`)
  await Promise.all(programs.map(({ code }, index) => writeFile(join(folder, files[index]!), withPaths(code))))
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({
    extends: join(root, 'tsconfig.json'), compilerOptions: { lib: ['ES2024'], allowImportingTsExtensions: true, rewriteRelativeImportExtensions: false }, files, include: []
  }))
  return execute(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { env: plainEnv })
    .then(() => '', ({ stdout }: { stdout: string }) => stdout)
}

/** What a program prints; undefined, with the test skipped, where a server that it needs cannot be had. */
export async function outputOf (t: Test, program: string): Promise<string | undefined> {
  const file = join(t.testdir(), 'program.ts')
  const settings = await settingsOf(t, program)
  if (settings === undefined) return undefined
  await writeFile(file, withPaths(settings.code))
  const { stdout, stderr } = await execute(process.execPath, ['--disable-warning=ExperimentalWarning', file], { env: { ...plainEnv, ...settings.env }, timeout: 60_000 })
  t.equal(stderr, '')
  return stdout
}

function withPaths (code: string): string {
  const paths: Record<string, string> = { sqlite: 'backends/sqlite/', redis: 'backends/redis/', outbox: 'outbox/' }
  return code.replaceAll(/'fastify-background-jobs(?:\/(\w+))?'/g, (_, entry?: string) => `'${join(root, 'lib', entry === undefined ? '' : paths[entry]!, 'index.ts')}'`)
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
