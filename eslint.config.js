import tseslint from 'typescript-eslint';

/** Folder rules of the architecture: which folders a folder may not import (see ARCHITECTURE.md). */
const forbid = (...folders) => ({
  'no-restricted-imports': [
    'error',
    {
      patterns: folders.map((folder) => ({
        regex: `^(\\.\\./)+${folder}/`,
        message: `this folder must not import ${folder}/ (folder rules in ARCHITECTURE.md)`,
      })),
    },
  ],
});

export default tseslint.config(
  { ignores: ['coverage/', 'test/rigs/.built/', '.cache/', 'node_modules/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'separate-type-imports' },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      'max-lines': ['error', { max: 400, skipBlankLines: false, skipComments: false }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: false, skipComments: true }],
      'max-params': ['error', 4],
      'no-console': 'error',
    },
  },
  { files: ['**/*.js'], ...tseslint.configs.disableTypeChecked },
  { files: ['common/**'], rules: forbid('agent', 'aggregator', 'standalone', 'test') },
  { files: ['proto/**'], rules: forbid('agent', 'aggregator', 'standalone', 'test') },
  { files: ['agent/**'], rules: forbid('aggregator', 'standalone', 'test') },
  { files: ['agent/eureka/**'], rules: forbid('aggregator', 'standalone', 'test', 'zookeeper') },
  { files: ['agent/zookeeper/**'], rules: forbid('aggregator', 'standalone', 'test', 'eureka') },
  { files: ['aggregator/**'], rules: forbid('agent', 'standalone', 'test') },
  { files: ['standalone/**'], rules: forbid('test') },
  {
    files: ['test/**'],
    rules: {
      'max-lines': 'off',
      'max-lines-per-function': 'off',
      'no-console': 'off',
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'describe', 'it', 'suite'] },
          ],
        },
      ],
    },
  },
);
