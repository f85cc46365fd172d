import { Accordion, Badge, Group, Stack, Table, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { BookModel, ChangedModel, PriceImport } from '../../api/types';
import { shownPrice } from './amounts';

/** Models of a kind that are shown at most: the browser has to draw them. */
const MOST = 300;

export function modelName(model: { provider: string; model: string; region?: string; variant?: string }) {
  const place = [model.region, model.variant].filter(Boolean).join(', ');
  return `${model.provider}/${model.model}${place ? ` (${place})` : ''}`;
}

/** What a new price list would change: changed prices first, they are what matters. */
export function Differences({ proposal }: { proposal: PriceImport }) {
  const { t } = useTranslation();
  const { added, changed, removed, unchanged } = proposal;
  return (
    <Stack gap="sm">
      <Group gap="xs">
        <Badge color="yellow" variant="light" tt="none">
          {t('priceBook.changedCount', { count: changed.length })}
        </Badge>
        <Badge color="teal" variant="light" tt="none">
          {t('priceBook.addedCount', { count: added.length })}
        </Badge>
        <Badge color="red" variant="light" tt="none">
          {t('priceBook.removedCount', { count: removed.length })}
        </Badge>
        <Badge color="gray" variant="light" tt="none">
          {t('priceBook.unchangedCount', { count: unchanged })}
        </Badge>
      </Group>
      <Accordion multiple variant="separated" defaultValue={changed.length > 0 ? ['changed'] : []}>
        {changed.length > 0 && (
          <Accordion.Item value="changed">
            <Accordion.Control>{t('priceBook.changed')}</Accordion.Control>
            <Accordion.Panel>
              {changed.slice(0, MOST).map((model) => (
                <Change key={modelName(model)} model={model} />
              ))}
              <More count={changed.length - MOST} />
            </Accordion.Panel>
          </Accordion.Item>
        )}
        {added.length > 0 && (
          <Accordion.Item value="added">
            <Accordion.Control>{t('priceBook.added')}</Accordion.Control>
            <Accordion.Panel>
              <Names models={added} />
            </Accordion.Panel>
          </Accordion.Item>
        )}
        {removed.length > 0 && (
          <Accordion.Item value="removed">
            <Accordion.Control>{t('priceBook.removed')}</Accordion.Control>
            <Accordion.Panel>
              <Text size="sm" mb="xs">
                {t('priceBook.removedHint')}
              </Text>
              <Names models={removed} />
            </Accordion.Panel>
          </Accordion.Item>
        )}
      </Accordion>
    </Stack>
  );
}

function Change({ model }: { model: ChangedModel }) {
  const { t } = useTranslation();
  return (
    <Stack gap={2} mb="sm">
      <Text size="sm" fw={500} style={{ overflowWrap: 'anywhere' }}>
        {modelName(model)}
      </Text>
      <Table verticalSpacing={2} aria-label={modelName(model)} layout="fixed">
        <Table.Tbody>
          {model.fields.map((field) => (
            <Table.Tr key={field.name}>
              <Table.Th fw={400} style={{ overflowWrap: 'anywhere' }}>
                {field.name}
              </Table.Th>
              <Table.Td ta="right">
                {field.old === null ? t('priceBook.none') : shownPrice(field.name, field.old)}
                {' → '}
                <Text span inherit fw={600}>
                  {field.new === null ? t('priceBook.none') : shownPrice(field.name, field.new)}
                </Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Stack>
  );
}

function Names({ models }: { models: BookModel[] }) {
  return (
    <>
      {models.slice(0, MOST).map((model) => (
        <Text size="sm" key={modelName(model)} style={{ overflowWrap: 'anywhere' }}>
          {modelName(model)}
        </Text>
      ))}
      <More count={models.length - MOST} />
    </>
  );
}

function More({ count }: { count: number }) {
  const { t } = useTranslation();
  return count > 0 ? (
    <Text size="sm" c="dimmed">
      {t('priceBook.more', { count })}
    </Text>
  ) : null;
}
