import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { plainEnv, root } from '../helpers/example.ts'
import { postgresSchema } from '../helpers/postgres.ts'

const run = promisify(execFile)
const recipes = await readFile(join(root, 'docs/recipes.md'), 'utf8')
const RECIPE = /^## ([^\n]+)\n(?:(?!## )[^\n]*\n)*?```ts\n(.*?)^```\n\n```text\n(.*?)^```$/gms

const found = Array.from(recipes.matchAll(RECIPE), ([, title, code, output]) => ({ title: title!, code: code!, output: output! }))
t.equal(found.length, recipes.match(/^```ts$/gm)!.length, 'every snippet tells what it prints')

t.test('they are right by their types', async (t) => {
  const folder = t.testdir()
  const files = found.map((_, index) => `recipe-${index}.ts`)
  await Promise.all(found.map(({ code }, index) => writeFile(join(folder, files[index]!), withPaths(code))))
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({
    extends: join(root, 'tsconfig.json'), compilerOptions: { lib: ['ES2024'], allowImportingTsExtensions: true, rewriteRelativeImportExtensions: false }, files, include: []
  }))
  const output = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { env: plainEnv })
    .then(() => '', ({ stdout }: { stdout: string }) => stdout)
  t.equal(output, '')
})

for (const { title, code, output } of found) {
  t.test(title, async (t) => {
    const file = join(t.testdir(), 'recipe.ts')
    const settings = code.includes('DATABASE_URL') ? await postgresSettings(t, code) : { env: {}, code }
    if (settings === undefined) return
    await writeFile(file, withPaths(settings.code))
    const { stdout, stderr } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', file], { env: { ...plainEnv, ...settings.env }, timeout: 60_000 })
    t.equal(stderr, '')
    t.equal(stdout, output)
  })
}

function withPaths (code: string): string {
  return code.replaceAll(/'fastify-background-jobs(\/outbox)?'/g, (_, outbox) => `'${join(root, `lib${outbox ?? ''}/index.ts`)}'`)
}

/** The program's tables belong into the test's own schema. */
async function postgresSettings (t: Test, code: string): Promise<{ env: Record<string, string>, code: string } | undefined> {
  const postgres = await postgresSchema(t)
  if (postgres === undefined) return undefined
  const url = new URL(postgres.url)
  url.searchParams.set('options', `-c search_path=${postgres.schema}`)
  return { env: { DATABASE_URL: url.href }, code: code.replace('postgres({ pool })', `postgres({ pool, schema: '${postgres.schema}' })`) }
}
