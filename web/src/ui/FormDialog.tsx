import { Alert, Button, Group, Modal, Stack } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { errorMessage, fieldErrors } from '../api/errors';

interface FormErrorProps {
  error: unknown;
  form: { getValues: () => object };
}

/** The server's sentence, with the complaints about fields that the form does not show. */
export function FormError({ error, form }: FormErrorProps) {
  const { t } = useTranslation();
  if (!error) return null;
  const shown = form.getValues();
  const others = Object.entries(fieldErrors(error, t)).filter(([field]) => !(field in shown));
  return (
    <Alert color="red" role="alert">
      {errorMessage(error, t)}
      {others.map(([field, message]) => (
        <div key={field}>{t('error.otherField', { field, message })}</div>
      ))}
    </Alert>
  );
}

/** Submits a form; the server's complaints appear at its fields. */
export function useFormSubmit<V extends object>(
  form: UseFormReturnType<V>,
  submit: (values: V) => Promise<unknown>,
) {
  const { t } = useTranslation();
  const mutation = useMutation({
    mutationFn: submit,
    onError: (error) => {
      const shown = form.getValues();
      const known = Object.entries(fieldErrors(error, t)).filter(([field]) => field in shown);
      if (known.length > 0) form.setErrors(Object.fromEntries(known));
    },
  });
  const onSubmit = form.onSubmit((values) => mutation.mutate(values));
  return { onSubmit, error: mutation.error, pending: mutation.isPending };
}

/**
 * The dialog is taken away rather than closed, so it has to hand the focus back itself: to what had it
 * before, or, where that was an entry of a menu that is gone, to the page.
 */
function useFocusBack() {
  const [before] = useState(() => document.activeElement);
  useEffect(
    () => () => {
      requestAnimationFrame(() => {
        if (document.activeElement !== document.body) return;
        const target =
          before?.isConnected && before !== document.body ? before : document.getElementById('content');
        if (target instanceof HTMLElement) target.focus({ preventScroll: true });
      });
    },
    [before],
  );
}

interface FormDialogProps<V extends object> {
  title: string;
  form: UseFormReturnType<V>;
  onSubmit: (values: V) => Promise<unknown>;
  onClose: () => void;
  submitLabel?: string;
  size?: string;
  children: ReactNode;
}

/** A dialog around the fields of a form. It closes itself only when asked to by its owner. */
export function FormDialog<V extends object>({
  title,
  form,
  onSubmit,
  onClose,
  submitLabel,
  size = 'lg',
  children,
}: FormDialogProps<V>) {
  const { t } = useTranslation();
  const submit = useFormSubmit(form, onSubmit);
  useFocusBack();
  return (
    <Modal
      opened
      onClose={onClose}
      title={title}
      size={size}
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': t('common.close') }}
    >
      <form onSubmit={submit.onSubmit} noValidate>
        <Stack>
          {children}
          <FormError error={submit.error} form={form} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t('common.cancel')}
            </Button>
            <Button type="submit" loading={submit.pending}>
              {submitLabel ?? t('common.save')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
