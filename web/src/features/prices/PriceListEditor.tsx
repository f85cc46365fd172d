import {
  ActionIcon,
  Autocomplete,
  Button,
  Card,
  Fieldset,
  Group,
  Input,
  SimpleGrid,
  Stack,
  Text,
} from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import { AmountInput } from '../../ui/AmountInput';
import { LISTED, newRow, type PriceRow } from './list';

const MOST = 2000;

interface PriceListEditorProps {
  hint: string;
  value: PriceRow[];
  onChange: (rows: PriceRow[]) => void;
  error?: React.ReactNode;
}

/** What customers pay for models, in place of the provider's price with a margin: one card a model. */
export function PriceListEditor({ hint, value, onChange, error }: PriceListEditorProps) {
  const { t } = useTranslation();
  const models = useOptions('models');
  const change = (index: number, row: PriceRow) =>
    onChange(value.map((other, at) => (at === index ? row : other)));
  return (
    <Fieldset legend={t('priceList.title')}>
      <Stack gap="xs">
        <Text size="xs" c="dimmed">
          {hint}
        </Text>
        {value.map((row, index) => (
          <Card
            key={row.row}
            withBorder
            padding="sm"
            role="group"
            aria-label={t('priceList.entry', { number: index + 1 })}
          >
            <Group align="flex-start" wrap="nowrap" gap="xs">
              <Stack gap="xs" style={{ flex: 1, minWidth: 0 }}>
                <Autocomplete
                  label={t('field.model')}
                  required
                  maxLength={200}
                  data={models.data?.map((model) => model.name) ?? []}
                  value={row.model}
                  onChange={(model) => change(index, { ...row, model })}
                />
                <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="xs">
                  {LISTED.map((name) => (
                    <AmountInput
                      key={name}
                      label={t(`models.price.${name}`)}
                      required={name !== 'cached_input'}
                      value={row.fields[name]}
                      onChange={(price) =>
                        change(index, { ...row, fields: { ...row.fields, [name]: price } })
                      }
                    />
                  ))}
                </SimpleGrid>
              </Stack>
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={t('priceList.remove', { number: index + 1 })}
                onClick={() => onChange(value.filter((_, at) => at !== index))}
              >
                <IconTrash size={16} />
              </ActionIcon>
            </Group>
          </Card>
        ))}
        {error && <Input.Error role="alert">{error}</Input.Error>}
        {value.length < MOST && (
          <Button
            variant="default"
            size="xs"
            leftSection={<IconPlus size={14} aria-hidden />}
            style={{ alignSelf: 'flex-start' }}
            onClick={() => onChange([...value, newRow()])}
          >
            {t('priceList.add')}
          </Button>
        )}
      </Stack>
    </Fieldset>
  );
}
