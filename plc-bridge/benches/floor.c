/* The floor of a Modbus TCP round trip on this machine: a plain C client and a plain C server on Debian's libmodbus.
 *
 *   floor serve            listens on a free loopback port, prints it, answers until its standard input ends;
 *                          its heartbeat register moves with every request
 *   floor read PORT N      reads 100 holding registers N times      (prints one duration in nanoseconds per line)
 *   floor write PORT N     writes one coil N times, 0 and 1 in turn (the same)
 *
 * build: cc -O2 floor.c $(pkg-config --cflags --libs libmodbus) -o floor
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REGISTERS = 4096, READ = 100, COIL = 1, HEARTBEAT = 2, TAGS = 2000 };

static uint64_t nanos(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, modbus_strerror(errno));
  return 1;
}

static int serve(void) {
  modbus_t *bus = modbus_new_tcp("127.0.0.1", 0);
  modbus_mapping_t *memory = modbus_mapping_new(REGISTERS, REGISTERS, REGISTERS, REGISTERS);
  if (!bus || !memory) return fail("memory");
  int listener = modbus_tcp_listen(bus, 8);
  struct sockaddr_in at;
  socklen_t size = sizeof at;
  if (listener < 0 || getsockname(listener, (struct sockaddr *)&at, &size)) return fail("listen");
  /* Below TAGS lie the two blocks of a PLC that asks for nothing; above it every register holds its own address. */
  for (int i = TAGS; i < REGISTERS; i++) memory->tab_registers[i] = (uint16_t)i;
  printf("%u\n", ntohs(at.sin_port));
  fflush(stdout);
  fd_set open;
  FD_ZERO(&open);
  FD_SET(listener, &open);
  FD_SET(STDIN_FILENO, &open);
  int most = listener;
  for (;;) {
    fd_set ready = open;
    if (select(most + 1, &ready, NULL, NULL, NULL) < 0) return fail("select");
    if (FD_ISSET(STDIN_FILENO, &ready)) return 0;
    for (int fd = 0; fd <= most; fd++) {
      if (!FD_ISSET(fd, &ready)) continue;
      if (fd == listener) {
        int client = accept(listener, NULL, NULL), one = 1;
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        FD_SET(client, &open);
        if (client > most) most = client;
        continue;
      }
      uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
      modbus_set_socket(bus, fd);
      int length = modbus_receive(bus, request);
      if (length > 0) {
        memory->tab_registers[HEARTBEAT]++;
        modbus_reply(bus, request, length, memory);
      } else if (length < 0) {
        close(fd);
        FD_CLR(fd, &open);
      }
    }
  }
}

static int drive(int writing, int port, size_t rounds) {
  modbus_t *bus = modbus_new_tcp("127.0.0.1", port);
  if (!bus || modbus_set_slave(bus, 1) || modbus_connect(bus)) return fail("connect");
  uint64_t *took = calloc(rounds, sizeof *took);
  if (!took) return fail("memory");
  uint16_t words[READ];
  for (size_t i = 0; i < rounds; i++) {
    uint64_t from = nanos();
    int done = writing ? modbus_write_bit(bus, COIL, i & 1) == 1 : modbus_read_registers(bus, TAGS, READ, words) == READ;
    took[i] = nanos() - from;
    if (!done) return fail(writing ? "write" : "read");
  }
  for (size_t i = 0; i < rounds; i++) printf("%llu\n", (unsigned long long)took[i]);
  return 0;
}

int main(int count, char **words) {
  if (count == 2 && !strcmp(words[1], "serve")) return serve();
  if (count == 4 && !strcmp(words[1], "read")) return drive(0, atoi(words[2]), strtoul(words[3], NULL, 10));
  if (count == 4 && !strcmp(words[1], "write")) return drive(1, atoi(words[2]), strtoul(words[3], NULL, 10));
  fprintf(stderr, "floor: say `serve`, `read PORT N` or `write PORT N`\n");
  return 64;
}
