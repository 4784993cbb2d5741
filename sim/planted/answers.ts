/** Planted bugs of answers: what a node says to its clients is not what it should say. */
import type { NamesAnswer, NodeApi, QueryAnswer, QueryRequest } from '../../http/api.ts';
import type { SimRandom } from '../random.ts';
import { ownerMark } from '../texts.ts';
import { type PlantedBugs, RARE } from './planted.ts';

type Edit = (text: string, request: QueryRequest) => string;

/** Some answers, or all, with another text. */
function edited(api: NodeApi, random: SimRandom, edit: Edit, chance = RARE): NodeApi {
  const query = async (request: QueryRequest): Promise<QueryAnswer> => {
    const answer = await api.query(request);
    if (!random.chance(chance)) return answer;
    const text = edit(new TextDecoder().decode(answer.data), request);
    return { ...answer, data: new TextEncoder().encode(text) };
  };
  return { ...api, query };
}

const EMPTY = new TextEncoder().encode('{"resultType":"matrix","result":[]}');

export const ANSWER_BUGS: PlantedBugs = {
  'altered-value': {
    sentence: 'some answers have another last digit in a value',
    api: (api, random) =>
      edited(api, random, (text) => text.replace(/(\d)"\]/, (_, d) => `${9 - Number(d)}"]`)),
  },
  'double-count': {
    sentence: 'replicas count twice in some aggregations',
    api: (api, random) =>
      edited(
        api,
        random,
        (text, { query }) =>
          query.includes('count_over_time')
            ? text.replace(/"(\d+)"\]/, (_, count) => `"${2 * Number(count)}"]`)
            : text,
        0.2,
      ),
  },
  'doubled-sample': {
    sentence: 'some answers show a sample twice',
    api: (api, random) =>
      edited(api, random, (text) => text.replace(/(\[[\d.]+,"[^"]*"\])\]/, '$1,$1]')),
  },
  'invented-sample': {
    sentence: 'some answers show a sample that nobody sent',
    api: (api, random) =>
      edited(api, random, (text) => text.replace('"values":[', '"values":[[7,"7"],')),
  },
  'leaky-error': {
    sentence: 'the text of some errors shows series of another tenant',
    api: (api, random) => ({
      ...api,
      query: (request) => {
        if (!random.chance(RARE)) return api.query(request);
        const other = request.tenant === 'tenant-1' ? 'tenant-0' : 'tenant-1';
        return Promise.reject(new Error(`too many series: {owner="${ownerMark(other)}"}`));
      },
    }),
  },
  'lost-sample': {
    sentence: 'an answer lacks its last sample',
    api: (api, random) => edited(api, random, (text) => text.replace(/,\[[\d.]+,"[^"]*"\]\]/, ']')),
  },
  'lost-exemplars': {
    sentence: 'some answers have no exemplars',
    api: (api, random) => ({
      ...api,
      exemplars: async (request) => {
        const answer = await api.exemplars(request);
        return random.chance(RARE) ? { ...answer, data: new TextEncoder().encode('[]') } : answer;
      },
    }),
  },
  'off-by-one': {
    sentence: 'the last millisecond of a range is not read',
    api: (api) => ({
      ...api,
      query: (request) => api.query({ ...request, endMs: request.endMs - 1 }),
    }),
  },
  'partial-as-whole': {
    sentence: 'an answer that lacks instances is shown as if it were whole',
    api: (api) => ({
      ...api,
      query: async (request) => {
        try {
          return await api.query(request);
        } catch {
          return { data: EMPTY, warnings: [], infos: [] };
        }
      },
    }),
  },
  'shifted-time': {
    sentence: 'some answers show a sample a second later',
    api: (api, random) =>
      edited(api, random, (text) => text.replace(/\[(\d+)/, (_, s) => `[${Number(s) + 1}`)),
  },
  'silent-gap': {
    sentence: 'some answers are empty, without a warning',
    api: (api, random) =>
      edited(api, random, (text) => text.replace(/"result":\[.*\]/s, '"result":[]')),
  },
  'stale-metadata': {
    sentence: 'a node tells of metrics what it told first',
    api: (api) => {
      const first = new Map<string, NamesAnswer>();
      return {
        ...api,
        metadata: async (request) => {
          const asked = `${request.tenant} ${request.metric ?? ''}`;
          const answer = first.get(asked) ?? (await api.metadata(request));
          first.set(asked, answer);
          return answer;
        },
      };
    },
  },
  'wrong-tenant': {
    sentence: 'some queries are answered from the data of another tenant',
    api: (api, random) => ({
      ...api,
      query: (request) =>
        api.query(
          random.chance(RARE)
            ? { ...request, tenant: 'tenant-0' as typeof request.tenant } // it is one of the load's
            : request,
        ),
    }),
  },
};
