import { notifications } from '@mantine/notifications';

export function notifyDone(message: string) {
  notifications.show({ message, color: 'teal', autoClose: 4000 });
}
