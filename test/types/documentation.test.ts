import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { root } from '../helpers/example.ts'

interface Documented {
  /** 'QueueOptions' or 'QueueOptions.capacity'. */
  readonly name: string
  readonly comment: string
  readonly defaultValue: string | undefined
  readonly isOptional: boolean
}

const files = readdirSync(join(root, 'types')).filter((file) => file.endsWith('.ts') && !file.endsWith('.tst.ts'))
const options = { MemoryOptions: 'backends/memory/index.ts', SqliteOptions: 'backends/sqlite/index.ts', RedisOptions: 'backends/redis/options.ts', PostgresStoreOptions: 'outbox/postgres.ts', SqliteStoreOptions: 'outbox/sqlite.ts' }
const declarations = [
  ...files.flatMap((file) => declarationsOf(`types/${file}`)).filter(isPublic),
  ...Object.entries(options).flatMap(([type, file]) => declarationsOf(`lib/${file}`).filter(({ name }) => name.text === type))
]
const members = declarations.filter(ts.isInterfaceDeclaration).flatMap((owner) => owner.members.filter((member) => !isAbsent(member)).map((member) => documented(member, owner)))

function declarationsOf (file: string): (ts.InterfaceDeclaration | ts.TypeAliasDeclaration)[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.ES2023, true)
  return source.statements.filter((statement) => ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement))
}

/** The options of the outbox are a union of interfaces, which only together have a name. */
function isPublic ({ modifiers = [] as never, name }: ts.InterfaceDeclaration | ts.TypeAliasDeclaration): boolean {
  return modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) || name.text.endsWith('Options')
}

/** It is named only to be forbidden. */
function isAbsent (member: ts.TypeElement): boolean {
  return ts.isPropertySignature(member) && member.type?.kind === ts.SyntaxKind.NeverKeyword
}

function documented (node: ts.TypeElement | ts.InterfaceDeclaration | ts.TypeAliasDeclaration, owner?: ts.InterfaceDeclaration): Documented {
  const name = node.name?.getText() ?? '()'
  const tag = ts.getJSDocTags(node).find(({ tagName }) => tagName.text === 'default')
  return {
    name: owner === undefined ? name : `${owner.name.text}.${name}`,
    comment: ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).map((doc) => doc.getText()).join('\n'),
    defaultValue: tag && ts.getTextOfJSDocComment(tag.comment)?.trim(),
    isOptional: 'questionToken' in node && node.questionToken !== undefined
  }
}

const PUBLIC_CLASSES = new Set(['ManualClock', 'WaitingProducers'])

const names = (documented: readonly Documented[]): string[] => documented.map(({ name }) => name)

t.test('every public type, and every member of an interface, has a comment', async (t) => {
  t.ok(members.length > 200, `${members.length} members`)
  const all = [...declarations.map((declaration) => documented(declaration)), ...members]
  t.same(names(all.filter(({ comment }) => comment === '')), [])
})

t.test('every public member of a public class has a comment', async (t) => {
  const classes = ['manual-clock.ts', 'backends/waiting-producers.ts'].flatMap((file) => {
    const source = ts.createSourceFile(file, readFileSync(join(root, 'lib', file), 'utf8'), ts.ScriptTarget.ES2023, true)
    return source.statements.filter(ts.isClassDeclaration).filter(({ modifiers = [] as never, name }) => PUBLIC_CLASSES.has(name!.text) && modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
  })
  t.ok(classes.length === PUBLIC_CLASSES.size, `${classes.length} classes`)
  const undocumented = classes.flatMap(({ name: owner, members }) => members
    .filter((member) => member.name === undefined ? ts.isConstructorDeclaration(member) && member.parameters.length > 0 : !ts.isPrivateIdentifier(member.name))
    .filter((member) => ts.getJSDocCommentsAndTags(member).length === 0)
    .map((member) => `${owner!.text}.${member.name?.getText() ?? 'constructor'}`))
  t.same(undocumented, [])
})

t.test('every option that can be left out tells its default by a tag', async (t) => {
  // An envelope's options are a record that is stored.
  const optional = members.filter(({ name, isOptional }) => isOptional && /Options\./.test(name) && !name.startsWith('EnvelopeOptions.'))
  t.ok(optional.length > 90, `${optional.length} options`)
  t.same(names(optional.filter(({ defaultValue }) => defaultValue === undefined || defaultValue === '')), [])
})

t.test('and not by a sentence', async (t) => {
  t.same(names(members.filter(({ comment }) => /(?<!@)\bdefault\b:? (?:['"\d]|is|the)/i.test(comment))), [])
})

t.test('times and sizes have units', async (t) => {
  // What a backend is capable of has no unit.
  const quantities = members.filter(({ name }) => !name.startsWith('Capabilities.delay') && /\.(lease|pollInterval|busyTimeout|connectTimeout|commandTimeout|timeout|enqueueTimeout|max|delay|runAt|retryAfter|giveUpAfter|stalledAfter|every|retention|jitter|uniqueFor|maxPayloadBytes|startedAt|finishedAt|enqueuedAt|waitingSince|createdAt|parkedAt|startAt|endAt|nextRun|lastRun|lastSuccess)$/.test(name))
  t.ok(quantities.length > 30, `${quantities.length} quantities`)
  t.same(names(quantities.filter(({ comment }) => !/milliseconds|bytes|Part of the delay/i.test(comment))), [])
})
