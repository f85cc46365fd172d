import { Button, type ButtonProps } from '@mantine/core';
import { type Question, useConfirm } from './confirm';

/** A button that asks before it does what it says. */
export function ConfirmButton({ question, ...button }: ButtonProps & { question: Question }) {
  const [ask, dialog] = useConfirm();
  return (
    <>
      <Button variant="default" {...button} onClick={() => ask(question)}>
        {question.action}
      </Button>
      {dialog}
    </>
  );
}
