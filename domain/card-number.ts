/** Whether the digits of a text are as many as a card has and add up as a card's do (Luhn), whatever stands between them. */
export function isCardNumber(text: string): boolean {
  const digits = text.replaceAll(/[ ._:-]/g, '');
  if (!/^\d{13,19}$/.test(digits)) return false;
  const sum = [...digits].reverse().reduce((total, digit, index) => {
    const doubled = Number(digit) * (index % 2 === 0 ? 1 : 2);
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 === 0;
}
