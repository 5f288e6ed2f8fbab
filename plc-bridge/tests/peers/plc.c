/* A PLC on libmodbus, for tests: server of both blocks, with the PLC's half of the handshake.
 *
 *     plc tcp PORT            (0 = any free port)
 *     plc rtu DEVICE BAUD
 *
 * Commands come as lines on stdin, what was seen leaves as lines on stdout; the same words as in plc.py, but with
 * registers instead of names:
 *
 *     put ADDRESS VALUE...        ->
 *     peek ADDRESS COUNT          -> words ADDRESS VALUE...
 *     beat on|off | from FROM | make COUNT | end of file
 *                                    ready PORT, permit on|off, piece SEQ pass|fail|hold ENCODER, made COUNT, strange TEXT
 *
 * One thread and one loop: wait for a request, a command or the next scan; no request sees half a scan.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_LEN = 96, STATUS = 1000, STATUS_LEN = 128, AHEAD = 8 };
enum { SCAN_US = 2000, BEAT_US = 20000, VISION_TIMEOUT_US = 5000000 };
enum { TRIGGER_ENABLE = 1 << 0, TRIGGER = 1 << 1, BUFFER_RESULTS = 1 << 2, RESULTS_ACK = 1 << 3, LINE_RUNNING = 1 << 9 };
enum { TRIGGER_READY = 1 << 0, TRIGGER_ACK = 1 << 1, RESULTS_VALID = 1 << 11 };
enum { PASS = 1 << 4, FAIL = 1 << 5, NO_VERDICT = 1 << 6, RUN_PERMIT = 1 << 7 };

static modbus_t *bus;
static modbus_mapping_t *map;
static bool beating = true, running;
static uint32_t seq, left, ordered;
static struct { uint32_t seq, encoder; } open_pieces[AHEAD];
static uint64_t beat_due, vision_since;
static uint16_t vision_beat;

static uint64_t micros(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void die(const char *what) {
    fprintf(stderr, "plc: %s: %s\n", what, errno ? modbus_strerror(errno) : "not understood");
    exit(2);
}

static uint16_t *reg(int address) { return &map->tab_registers[address]; }

static uint32_t get_long(int address) { return (uint32_t)*reg(address) << 16 | *reg(address + 1); }

static void put_long(int address, uint32_t value) {
    *reg(address) = (uint16_t)(value >> 16);
    *reg(address + 1) = (uint16_t)value;
}

static void put_bit(uint16_t bit, bool on) { *reg(0) = on ? *reg(0) | bit : *reg(0) & (uint16_t)~bit; }

static int open_slot(uint32_t number) {
    for (int i = 0; i < AHEAD; i++)
        if (open_pieces[i].seq == number) return i;
    return -1;
}

static bool none_open(void) {
    for (int i = 0; i < AHEAD; i++)
        if (open_pieces[i].seq != 0) return false;
    return true;
}

static void trigger(void) {
    int slot = open_slot(0);
    if (*reg(0) & TRIGGER) {
        if (*reg(STATUS) & TRIGGER_ACK) put_bit(TRIGGER, false);
    } else if (left > 0 && running && slot >= 0 && (*reg(STATUS) & TRIGGER_READY) && !(*reg(STATUS) & TRIGGER_ACK)) {
        left--;
        seq++;
        open_pieces[slot].seq = seq;
        /* Crosses the wrap of the encoder on the way. */
        open_pieces[slot].encoder = 0xFFFFF000u + 1000u * seq;
        put_long(5, seq);
        put_long(7, open_pieces[slot].encoder);
        put_bit(TRIGGER, true);
    }
}

static void results(void) {
    bool valid = *reg(STATUS) & RESULTS_VALID;
    if (*reg(0) & RESULTS_ACK) {
        if (!valid) {
            put_bit(RESULTS_ACK, false);
            if (left == 0 && none_open()) {
                printf("made %u\n", ordered);
                ordered = 0;
            }
        }
        return;
    }
    if (!valid) return;
    uint16_t verdict = *reg(STATUS + 1) & (PASS | FAIL | NO_VERDICT);
    const char *word = verdict == PASS ? "pass" : verdict == FAIL ? "fail" : verdict == NO_VERDICT ? "hold" : NULL;
    uint32_t echo = get_long(STATUS + 10), encoder = get_long(STATUS + 12);
    int slot = echo == 0 ? -1 : open_slot(echo);
    if (word == NULL) printf("strange verdicts %u\n", verdict);
    if (slot < 0 || open_pieces[slot].encoder != encoder) {
        printf("strange result of %u at %u\n", echo, encoder);
    } else {
        open_pieces[slot].seq = 0;
        printf("piece %u %s %u\n", echo, word ? word : "none", encoder);
    }
    put_bit(RESULTS_ACK, true);
}

static void scan(void) {
    uint64_t now = micros();
    if (beating && now >= beat_due) {
        beat_due = now + BEAT_US;
        ++*reg(2);
    }
    if (*reg(STATUS + 2) != vision_beat) {
        vision_beat = *reg(STATUS + 2);
        vision_since = now;
    }
    bool may_run = (*reg(STATUS + 1) & RUN_PERMIT) && now - vision_since < VISION_TIMEOUT_US;
    if (may_run != running) {
        running = may_run;
        put_bit(LINE_RUNNING, running);
        printf("permit %s\n", running ? "on" : "off");
    }
    if (ordered > 0) {
        trigger();
        results();
    }
}

static void obey(char *line) {
    char *rest = line, *verb = strsep(&rest, " \n");
    errno = 0;
    if (strcmp(verb, "put") == 0) {
        int address = (int)strtol(rest, &rest, 10);
        for (char *end; strtol(rest, &end, 10), end != rest; rest = end, address++) {
            if (address < 0 || address >= STATUS + STATUS_LEN) die("put");
            *reg(address) = (uint16_t)strtol(rest, NULL, 10);
        }
    } else if (strcmp(verb, "peek") == 0) {
        int address = (int)strtol(rest, &rest, 10), count = (int)strtol(rest, NULL, 10);
        if (address < 0 || count < 0 || address + count > STATUS + STATUS_LEN) die("peek");
        printf("words %d", address);
        for (int i = 0; i < count; i++) printf(" %u", *reg(address + i));
        printf("\n");
    } else if (strcmp(verb, "beat") == 0) {
        beating = strncmp(rest, "on", 2) == 0;
    } else if (strcmp(verb, "from") == 0) {
        seq = (uint32_t)strtoul(rest, NULL, 10);
    } else if (strcmp(verb, "make") == 0) {
        left = ordered = (uint32_t)strtoul(rest, NULL, 10);
        put_bit(TRIGGER_ENABLE | BUFFER_RESULTS, true);
    } else {
        die(verb);
    }
}

/* One request of a client; false if it is gone. */
static bool serve(void) {
    uint8_t query[MODBUS_MAX_ADU_LENGTH];
    int length = modbus_receive(bus, query);
    if (length < 0) return errno == EMBBADCRC || errno == EMBBADDATA;
    if (length == 0) return true;
    const uint8_t *pdu = query + modbus_get_header_length(bus);
    int address = pdu[1] << 8 | pdu[2];
    bool writes = pdu[0] == 5 || pdu[0] == 6 || pdu[0] == 15 || pdu[0] == 16 || pdu[0] == 22;
    /* The control block belongs to the program; what lies between the blocks does not exist. */
    if ((writes && address < STATUS) || (address >= CONTROL_LEN && address < STATUS))
        return modbus_reply_exception(bus, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS) >= 0;
    return modbus_reply(bus, query, length, map) >= 0;
}

static void commands(void) {
    static char line[4096];
    static size_t length;
    ssize_t got = read(STDIN_FILENO, line + length, sizeof line - 1 - length);
    if (got <= 0) exit(0);
    length += (size_t)got;
    line[length] = '\0';
    for (char *end; (end = strchr(line, '\n')) != NULL;) {
        *end = '\0';
        obey(line);
        length -= (size_t)(end + 1 - line);
        memmove(line, end + 1, length + 1);
    }
    if (length == sizeof line - 1) die("a line that long");
}

static int listen_tcp(const char *port) {
    bus = modbus_new_tcp("127.0.0.1", atoi(port));
    int listener = bus == NULL ? -1 : modbus_tcp_listen(bus, 4);
    if (listener < 0) die("listen");
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    if (getsockname(listener, (struct sockaddr *)&at, &size) < 0) die("getsockname");
    printf("ready %u\n", ntohs(at.sin_port));
    return listener;
}

static void open_rtu(const char *device, const char *baud) {
    /* No parity: a pty has none, and says so. */
    bus = modbus_new_rtu(device, atoi(baud), 'N', 8, 1);
    if (bus == NULL || modbus_set_slave(bus, 1) < 0 || modbus_connect(bus) < 0) die("open");
    printf("ready 0\n");
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    map = modbus_mapping_new(0, 0, STATUS + STATUS_LEN, 0);
    if (map == NULL) die("memory");
    int listener = -1;
    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(STDIN_FILENO, &watched);
    if (count == 3 && strcmp(words[1], "tcp") == 0) {
        listener = listen_tcp(words[2]);
        FD_SET(listener, &watched);
    } else if (count == 4 && strcmp(words[1], "rtu") == 0) {
        open_rtu(words[2], words[3]);
        FD_SET(modbus_get_socket(bus), &watched);
    } else {
        die("usage");
    }
    for (uint64_t scanned = 0;;) {
        fd_set ready = watched;
        struct timeval wait = {0, SCAN_US};
        if (select(FD_SETSIZE, &ready, NULL, NULL, &wait) < 0) die("select");
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!FD_ISSET(fd, &ready)) continue;
            if (fd == STDIN_FILENO) {
                commands();
            } else if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client >= FD_SETSIZE) die("too many clients");
                if (client >= 0) FD_SET(client, &watched);
            } else {
                if (listener >= 0) modbus_set_socket(bus, fd);
                if (!serve() && listener >= 0) {
                    close(fd);
                    FD_CLR(fd, &watched);
                }
            }
        }
        if (micros() - scanned >= SCAN_US) {
            scanned = micros();
            scan();
        }
    }
}
