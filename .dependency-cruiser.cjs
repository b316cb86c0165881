// from → what it may import of ours, and why
const rows = [
  ['domain', 'domain', 'Rules are pure, so they run in workflows and in unit tests'],
  ['events', 'domain|events|infra|prisma', 'Events serve every service and know none'],
  ['infra', 'domain|infra|prisma', 'Infra serves everyone and knows no one'],
  ['workflows', 'domain|workflows|activities', 'Workflow code is replayed, so it does no I/O'],
  ['activities', 'domain|events|infra|activities|prisma', 'Activities never call workflows or views'],
  ['projections', 'domain|events|infra|projections|prisma', 'A view is built from events alone'],
  ['api', 'domain|events|infra|projections|workflows|activities|api|prisma', 'The API starts workflows and reads'],
  ['workers', 'domain|events|infra|projections|activities|workflows|workers', 'Entries compose'],
  ['gateway', 'domain|infra|gateway|prisma', 'The gateway is somebody else: we meet it over HTTP'],
  [
    'bench',
    'domain|events|infra|projections|bench|prisma|test|api/contract',
    'Measures what it needs, on the servers of the tests',
  ],
  [
    'cli',
    'domain|infra|events|projections|workflows|activities|cli|prisma|api/contract',
    'Commands drive the running system from outside',
  ],
];
const ours = `^(${rows.map(([from]) => from).join('|')}|prisma|test)/`;
const apiMayCall =
  '^activities/(inventory/(administration|products|read-stock|read-story|stored-answer|users)|orders/read|payments/(webhook-store|stored-refund|read-story))';
const packages = (pathNot) => ({ dependencyTypes: ['core', 'npm', 'npm-dev'], pathNot });
const values = (path, pathNot = '^$') => ({ path, pathNot, dependencyTypesNot: ['type-only'] });
const rule = (from, to, comment, name) => ({ name, comment, severity: 'error', from: { path: `^${from}` }, to });

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'A cycle has no first file to read',
      severity: 'error',
      from: { pathNot: '/generated/' },
      to: { circular: true },
    },
    ...rows.map(([from, may, why]) => rule(`${from}/`, { path: ours, pathNot: `^(${may})/` }, why, `${from}-imports`)),
    rule('domain/', packages('^$'), 'Rules need neither Node nor packages', 'domain-packages'),
    rule('workflows/', packages('@temporalio/(workflow|common)'), 'The sandbox has neither', 'workflow-packages'),
    rule('workflows/', values('^activities/'), 'A value would pull Prisma into the bundle', 'activity-types-only'),
    rule(
      'activities/([^/]+)/',
      { path: '^activities/.+/', pathNot: '^activities/$1/' },
      'Pass it as input',
      'own-service',
    ),
    rule('api/', { path: '^activities/', pathNot: apiMayCall }, 'Temporal calls the rest', 'api-calls-named-files'),
    rule('api/', values('^workflows/', '^workflows/contract'), 'A body is not an API', 'api-uses-the-contract'),
    rule(
      'api/contract/',
      { path: ours, pathNot: '^(domain|api/contract)/' },
      'Both sides of HTTP know it',
      'contract-imports',
    ),
    rule('api/contract/', packages('node_modules/zod'), 'A page in a browser may use it', 'contract-packages'),
    rule(
      'cli/',
      { path: '^activities/', pathNot: '^activities/inventory/erase' },
      'Temporal calls the rest',
      'cli-calls-named-files',
    ),
    rule('cli/', values('^workflows/', '^workflows/contract'), 'A body is not an API', 'cli-uses-the-contract'),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: ['node_modules', 'generated'] },
    exclude: { path: '^dist/' },
  },
};
