import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import ts from 'typescript';

/** A statement as a source file has it. */
export type SqlSite = Readonly<{
  /** `file.ts:line` */
  at: string;
  file: string;
  /** The function or constant that it stands in. */
  name: string;
  /** Matches the statement as a server sees it: what is put into it may be a parameter, or more SQL. */
  pattern: RegExp;
  text: string;
}>;

/** A call of Prisma's own API on a model, such as `inventoryOrder`. What SQL that makes is Prisma's business. */
type ModelCall = Readonly<{ at: string; file: string; name: string; model: string }>;

/** Where the product's own SQL is. The gateway is somebody else's program, and the seed runs on an empty database. */
const FOLDERS = ['activities', 'api', 'cli', 'events', 'infra', 'projections', 'workers'];

const STATEMENT =
  /^\s*(select\s|insert\s+into\s|update\s+[\w.]+\s+(\w+\s+)?set\s|delete\s+from\s|with\s+\w+\s+as\s|merge\s+into\s|declare\s)/;
const MODEL_CALLS =
  /^(find(Unique|First)(OrThrow)?|findMany|create|createMany|update|updateMany|upsert|delete|deleteMany|count|aggregate|groupBy)$/;

type Found = Readonly<{ sites: readonly SqlSite[]; modelCalls: readonly ModelCall[] }>;

/** Every statement in the sources: each tagged template that is sent, and each text that reads as a whole statement. */
export function sqlInSources(): Found {
  const found = FOLDERS.flatMap(filesIn).map((file) => sqlIn(file, readFileSync(file, 'utf8')));
  return { sites: found.flatMap(({ sites }) => sites), modelCalls: found.flatMap(({ modelCalls }) => modelCalls) };
}

/** The statements of one source file. */
export function sqlIn(file: string, text: string): Found {
  const sites: SqlSite[] = [];
  const modelCalls: ModelCall[] = [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const at = (node: ts.Node): string => `${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
  const visit = (node: ts.Node): void => {
    const model = modelCallOf(node);
    if (model !== undefined) modelCalls.push({ at: at(node), file, name: nameAround(node), model });
    const parts = partsOf(node);
    if (parts !== undefined && (isSent(node) || STATEMENT.test(parts.join('x')))) {
      const pattern = patternOf(parts, isSent(node));
      sites.push({ at: at(node), file, name: nameAround(node), pattern, text: parts.join('…') });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { sites, modelCalls };
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** The fixed parts of a text, of which the first and the last may be empty; undefined for what is no text. */
function partsOf(node: ts.Node): string[] | undefined {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node.text];
  if (!ts.isTemplateExpression(node)) return undefined;
  return [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)];
}

const isSent = ({ parent }: ts.Node): boolean =>
  parent !== undefined &&
  ts.isTaggedTemplateExpression(parent) &&
  ts.isPropertyAccessExpression(parent.tag) &&
  /^\$(query|execute)Raw$/.test(parent.tag.name.text);

/** `orders.order.findFirst(…)`: at least a database, a model and an operation. */
function modelCallOf(node: ts.Node): string | undefined {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return undefined;
  const { name, expression: model } = node.expression;
  if (!MODEL_CALLS.test(name.text) || !ts.isPropertyAccessExpression(model)) return undefined;
  return model.name.text;
}

function nameAround(node: ts.Node): string {
  for (let at: ts.Node | undefined = node.parent; at !== undefined; at = at.parent) {
    if (ts.isFunctionDeclaration(at) || ts.isMethodDeclaration(at) || ts.isPropertyAssignment(at)) {
      if (at.name !== undefined) return at.name.getText();
    }
    if (ts.isVariableDeclaration(at) && ts.isSourceFile(at.parent.parent.parent)) return at.name.getText();
  }
  return '';
}

/** The tables of Prisma's models, by the names by which a client has them. */
export function modelsInSchemas(): ReadonlyMap<string, string> {
  const schemas = readdirSync('prisma').map((name) => join('prisma', name, 'schema.prisma'));
  const texts = schemas.filter((path) => existsSync(path)).map((path) => readFileSync(path, 'utf8'));
  const models = texts.flatMap((text) => [...text.matchAll(/^model (\w)(\w*) \{[^]*?@@map\("(\w+)"\)/gm)]);
  return new Map(models.map(([, first = '', rest = '', table = '']) => [first.toLowerCase() + rest, table]));
}

/**
 * Two statements that differ in white space, or in what is put into them, are the same. A text that is not sent by itself
 * may come as a part of another statement.
 */
function patternOf(parts: readonly string[], whole: boolean): RegExp {
  const fixed = parts.map((part) =>
    squeezed(part)
      .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .trim(),
  );
  const inner = fixed.map((part) => part.replaceAll(' ', '\\s')).join('[^]*?');
  return new RegExp(whole ? `^\\s?${inner}\\s?$` : inner);
}

export const squeezed = (sql: string): string => sql.replace(/--.*$/gm, '').replace(/\s+/g, ' ');
