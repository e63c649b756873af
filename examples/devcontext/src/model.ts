import { createOpenAI } from '@ai-sdk/openai';
import type { LanguageModel } from 'ai';

import type { Config } from './config.js';
import { mockModel } from './mock.js';

/** A real model when there is a key for one. */
export function modelOf({ model }: Pick<Config, 'model'>): LanguageModel {
  if (model === undefined) return mockModel();
  const { key, name, baseUrl } = model;
  return createOpenAI({ apiKey: key, ...(baseUrl === undefined ? {} : { baseURL: baseUrl }) })(name);
}
