/** Something to wait for that a test lets happen when it wants to. */
export type Gate = Readonly<{ passed: Promise<void>; open: () => void }>;

export function gate(): Gate {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
