import { condition, defineQuery, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

type Steps = Readonly<{ step: (input: string) => Promise<string> }>;

export const goSignal = defineSignal<[string]>('go');
export const seenQuery = defineQuery<string>('seen');

/** Takes a payload of every kind: input, memo, an activity's input and answer, a signal, a query's answer, a result. */
export async function keyed(input: string, steps: string): Promise<string> {
  const { step } = proxyActivities<Steps>({
    taskQueue: steps,
    startToCloseTimeout: '10s',
    retry: { initialInterval: '100ms', backoffCoefficient: 1 },
  });
  let told: string | undefined;
  setHandler(goSignal, (word) => void (told = word));
  setHandler(seenQuery, () => told ?? 'nothing');
  const first = await step(`${input}-first`);
  await condition(() => told !== undefined);
  return `${first}, ${await step(`${told}-second`)}`;
}
