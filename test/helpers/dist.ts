import { execFile } from 'node:child_process'
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { until } from '../conformance/until.ts'
import { plainEnv, root } from './child.ts'

/** What the build reads. */
const SOURCES = ['lib', 'types', 'test/conformance', 'scripts', 'package.json', 'tsconfig.build.json']
const LOCK = join(root, '.tap/build.lock')

/**
 * Builds the package where it was not, or not since its sources changed: `npm test` builds before it tests, and who runs one file
 * need not think of it. Programs then import it by its name, as users do.
 */
export async function packageIsBuilt (): Promise<void> {
  if (await isBuilt()) return
  await mkdir(join(root, '.tap'), { recursive: true })
  await until('no other test builds the package', lockIsTaken)
  try {
    if (!await isBuilt()) await promisify(execFile)('npm', ['run', '--silent', 'build'], { cwd: root, env: { ...plainEnv, HOME: process.env.HOME } })
  } finally {
    await rm(LOCK)
  }
}

async function isBuilt (): Promise<boolean> {
  const builtAt = await entryAt()
  return builtAt !== undefined && (await Promise.all(SOURCES.map((path) => changedAt(join(root, path))))).every((at) => at <= builtAt)
}

/** When the package's entry was built. */
async function entryAt (): Promise<number | undefined> {
  try {
    return (await stat(fileURLToPath(import.meta.resolve('fastify-background-jobs')))).mtimeMs
  } catch {
    return undefined
  }
}

async function changedAt (path: string): Promise<number> {
  const found = await stat(path)
  if (!found.isDirectory()) return found.mtimeMs
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
  return Math.max(...await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).mtimeMs)))
}

/** Takes the lock, also one whose owner has died. */
async function lockIsTaken (): Promise<boolean> {
  try {
    await writeFile(LOCK, String(process.pid), { flag: 'wx' })
    return true
  } catch {
    const owner = Number(await readFile(LOCK, 'utf8').catch(() => ''))
    if (owner > 0 && !isAlive(owner)) await rm(LOCK, { force: true })
    return false
  }
}

function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
